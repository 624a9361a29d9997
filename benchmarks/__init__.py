"""minift beside the tools that people use, on the same work: `python -m benchmarks`.

    runner.py       fresh processes, asked in turns; medians, ratios, peak memory
    peers.py        what the other libraries need, and the one peer that no package has
    bert.py ..      one file a workload: the same work, built by each side

Both sides of a row do the same work on the same numbers at the same precision, with two threads.
The peers come with the extra `parity`.
"""

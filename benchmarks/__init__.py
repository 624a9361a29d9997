"""minift beside the tools that people use, on the same work: `python -m benchmarks`.

    runner.py       fresh processes, asked in turns; who does other work than the others is refused
    report.py       the table of medians, ratios and peak memory; results.json and tables.md
    peers/          what other libraries need at import, and the one peer that no package has
    bert.py ..      one file a workload: the same work, built by each side
    profile.py      minift alone: where the time of a step goes (`python -m benchmarks profile`)
    growth.py       minift alone: how cost grows with sizes (`python -m benchmarks growth`)
    parity.py       how equal minift is to its references (`python -m benchmarks.parity`)
    real_files.py   what transfer gives on real files (`python -m benchmarks.real_files`)

Both sides of a row begin with the same weights, read from one folder that minift wrote, and do the
same work on the same numbers at the same precision, with two threads. The peers come with the extra
`parity`, and with `pip install --no-deps torchvision timm`.
"""

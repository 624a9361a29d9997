"""The lecture's claims as experiments: each one command that anybody repeats.

    python train_cv.py study list
    python train_nlp.py study tokenization --quick

A study is one file in `cv/` or `nlp/`: a claim, a grid of runs, figures, and a rule that turns them
into a verdict. `study.py` says what it consists of, and `runner.py` runs its grid over the cores;
`statistics.py`, `results.py` and `verdict.py` make of the figures what `page.py` writes down.
"""

"""Write docs/results/README.md: what the full studies found, judged anew from their results.json.

python train_cv.py study NAME --seed 100    the full form; or train_nlp.py
python docs/verdicts.py                     after results.json and report.html were copied there
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minift.studies.cv import STUDIES as CV_STUDIES
from minift.studies.nlp import STUDIES as NLP_STUDIES
from minift.studies.page import FINDING_COLUMNS, finding_cells, read_measured, results_of
from minift.studies.study import Study
from minift.studies.verdict import RULE, SHOWN, Finding, verdict_of
from minift.training.files import write_text

FOLDER = Path(__file__).parent / "results"
STUDIES = (*CV_STUDIES, *NLP_STUDIES)
COLUMNS = ("study", "verdict", "findings shown", "seeds", "runs", "minutes of one core")
INTRODUCTION = """\
# What the studies found

Every claim of the lecture as an experiment, in its full form. A study's page (`report.html`) has
the set-up, the pictures and all tables; `results.json` beside it has every number, seed, setting
and version. This page is written by `python docs/verdicts.py` from those files, and a test checks
that it says what they say.

The intervals are bootstrapped over the seeds, and widened for few of them: with five, as nearly all
studies have, they hold the truth about 92 times in 100, not quite 95.

"Not shown" is an outcome like the others: at this scale, with these seeds, the effect is not there
or cannot be told from chance. What was tried for such claims is in
[did-not-work.md](../did-not-work.md).

Rates, sizes and rules were chosen on runs of the seeds 0 to 2, and the runs here have other seeds,
from 100 on. (In `stability` that is so for the fine-tunings alone: its claim is about their seeds,
and its one trunk and its rows are those of the pilots.) What was changed after a run on these seeds
had been looked at: `few-labels` and `prompts` had leaks, and were run on the same seeds again;
`frozen` lost four findings, shown, that could not fail; `scale-only` measures one of its findings
from another baseline; the intervals of all became wider. Most ran beside other work, which takes
more minutes than a free machine would."""


def page() -> str:
    """The page, in Markdown."""
    done = []
    for study in STUDIES:
        measured = read_measured(FOLDER / study.name)
        done.append((study, measured, study.judge(results_of(measured))))
    parts = [INTRODUCTION, markdown(COLUMNS, [overview(*each) for each in done]), RULE]
    for study, _, findings in done:
        parts += [
            f"## {study.name}: {verdict_of(findings)}",
            f"{study.claim} ([page]({study.name}/report.html))",
            markdown(FINDING_COLUMNS, [finding_cells(finding) for finding in findings]),
        ]
    return "\n\n".join(parts) + "\n"


def overview(study: Study, measured: dict[str, Any], findings: Sequence[Finding]) -> list[str]:
    """The line of a study in the table at the top."""
    shown = sum(finding.outcome == SHOWN for finding in findings)
    seconds = sum(part["seconds"] for part in measured["cells"] + measured["ingredients"])
    return [
        f"[`{study.name}`]({study.name}/report.html)",
        verdict_of(findings),
        f"{shown} of {len(findings)}",
        str(len(measured["seeds"])),
        str(len(measured["cells"])),
        f"{seconds / 60:.0f}",
    ]


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    aligned = ["---", *["---:"] * (len(columns) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, aligned, *rows))


if __name__ == "__main__":
    write_text(FOLDER / "README.md", page())
    print(FOLDER / "README.md")

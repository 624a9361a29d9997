"""The studies of text; a new one is a file here and a line in `STUDIES`."""

from minift.studies.nlp import forgetting, objectives, reinit, stability, tokenization, tuning

STUDIES = (
    tokenization.STUDY, stability.STUDY, tuning.STUDY, reinit.STUDY, forgetting.STUDY,
    objectives.STUDY,
)  # fmt: skip

"""The studies of text; a new one is a file here and a line in `STUDIES`."""

from minift.studies.nlp import (
    few_labels,
    forgetting,
    multi_task,
    objectives,
    prompts,
    reinit,
    stability,
    tokenization,
    tuning,
)

STUDIES = (
    tokenization.STUDY, stability.STUDY, tuning.STUDY, reinit.STUDY, forgetting.STUDY,
    objectives.STUDY, few_labels.STUDY, prompts.STUDY, multi_task.STUDY,
)  # fmt: skip

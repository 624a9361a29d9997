"""The studies of pictures; a new one is a file here and a line in `STUDIES`."""

from minift.studies.cv import (
    convergence,
    domains,
    frozen,
    layers,
    other_tasks,
    scale_only,
    target_size,
)

STUDIES = (
    frozen.STUDY,
    target_size.STUDY,
    layers.STUDY,
    convergence.STUDY,
    domains.STUDY,
    other_tasks.STUDY,
    scale_only.STUDY,
)

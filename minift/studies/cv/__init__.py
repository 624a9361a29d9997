"""The studies of pictures; a new one is a file here and a line in `STUDIES`."""

from minift.studies.cv import frozen, target_size

STUDIES = (frozen.STUDY, target_size.STUDY)

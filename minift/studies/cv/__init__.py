"""The studies of pictures; a new one is a file here and a line in `STUDIES`."""

from minift.studies.cv import frozen

STUDIES = (frozen.STUDY,)

"""The studies of text; a new one is a file here and a line in `STUDIES`."""

from minift.studies.nlp import tokenization

STUDIES = (tokenization.STUDY,)

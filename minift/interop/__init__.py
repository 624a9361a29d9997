"""Other people's checkpoints, in and out: the same numbers from our small modules.

    huggingface.py   a folder with config.json and weights: BERT, GPT-2, T5
    names.py         what a name map is, and how weights are matched by one
    bert.py          names, settings and heads of one family each
    gpt2.py
    t5.py
    files.py         reading files of weights that may lie
    resnet.py        a file of weights with torchvision's and timm's names
    word_vectors.py  the text and binary files of word2vec
    hub.py           a folder from the model hub

Reading order: names, bert, huggingface; the other families say only how they differ.
"""

from minift.interop.hub import fetch
from minift.interop.huggingface import class_names, is_huggingface, load_folder, save_folder
from minift.interop.names import Report
from minift.interop.resnet import load_resnet, save_resnet
from minift.interop.word_vectors import load_word2vec, read_vectors, save_word2vec, write_vectors

__all__ = [
    "Report",
    "class_names",
    "fetch",
    "is_huggingface",
    "load_folder",
    "load_resnet",
    "load_word2vec",
    "read_vectors",
    "save_folder",
    "save_resnet",
    "save_word2vec",
    "write_vectors",
]

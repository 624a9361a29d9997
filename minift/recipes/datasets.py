"""From texts and labels to the tensors a model is fine-tuned on.

Shapes: N examples, T length, S length of the decoder's side.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from minift.objectives.causal import shift_right
from minift.tokenizers import Tokenizer

Dataset = dict[str, Tensor]


def classification_dataset(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    labels: Sequence[int] | Tensor | None = None,
    *,
    max_length: int,
) -> Dataset:
    """Sentences, or pairs of them, with a class each: input_ids, attention_mask, token_type_ids
    (N, T) and labels (N,). Texts longer than max_length are cut, the longer of a pair first."""
    dataset = tokenizer(list(texts), None if pairs is None else list(pairs), max_length=max_length)
    if labels is not None:
        dataset["labels"] = torch.as_tensor(labels)
    return dataset


def span_dataset(
    tokenizer: Tokenizer,
    questions: Sequence[str],
    contexts: Sequence[str],
    answers: Sequence[str] | None = None,
    starts: Sequence[int | None] | None = None,
    *,
    max_length: int,
) -> Dataset:
    """Questions on contexts; labels (N, 2) are the answer's first and last token.

    `starts` are the characters at which the answers begin in their contexts; None: there is no
    answer. Such a row points at token 0, [CLS], as in SQuAD 2.0, and so does one whose answer is
    cut off with the end of its context; nothing else does.

    Raises
    ------
    ValueError : a start below 0, which is how "not found" is often written.
    """
    dataset = tokenizer(list(questions), list(contexts), max_length=max_length)
    if answers is None or starts is None:
        return dataset
    labels = torch.zeros(len(questions), 2, dtype=torch.int64)
    for row, (context, answer, start) in enumerate(zip(contexts, answers, starts)):
        if start is None:
            continue
        if start < 0:
            raise ValueError(f"starts must be at least 0, or None, got {start} in row {row}")
        is_context = dataset["token_type_ids"][row].bool()
        context_begin = int(is_context.long().argmax())
        context_end = context_begin + int(is_context.sum()) - 1  # where the last [SEP] stands
        first = context_begin + len(tokenizer.tokenize(context[:start]))
        last = first + len(tokenizer.tokenize(answer)) - 1
        if last < context_end:
            labels[row] = torch.tensor([first, last])
    dataset["labels"] = labels
    return dataset


def text_to_text_dataset(
    tokenizer: Tokenizer,
    pairs: Sequence[tuple[str, str]],
    *,
    max_length: int,
    max_target_length: int,
    start_id: int,
) -> Dataset:
    """Sources (input_ids, attention_mask: (N, T)) and targets (decoder_input_ids, labels: (N, S)).

    For T5. The decoder reads the target moved right by one, behind `start_id`, and is asked for the
    target; labels are -100 on padding.
    """
    sources = tokenizer([source for source, _ in pairs], max_length=max_length)
    targets = tokenizer(
        [target for _, target in pairs], padding="longest", max_length=max_target_length
    )
    labels = targets["input_ids"].masked_fill(~targets["attention_mask"], -100)
    return {
        "input_ids": sources["input_ids"],
        "attention_mask": sources["attention_mask"],
        "decoder_input_ids": shift_right(labels, start_id),
        "labels": labels,
    }


def encode_documents(tokenizer: Tokenizer, documents: list[list[str]]) -> list[list[list[int]]]:
    """Documents of sentences -> documents of sentences of ids, without special tokens."""
    return [
        [tokenizer.encode(sentence, special_tokens=False) for sentence in document]
        for document in documents
    ]


def decode_span(tokenizer: Tokenizer, input_ids: Tensor, span: Tensor) -> str:
    """The words of a predicted span: input_ids (T,), span (2,) -> text."""
    first, last = span.tolist()
    return tokenizer.decode(input_ids[first : last + 1].tolist())

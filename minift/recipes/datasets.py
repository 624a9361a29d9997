"""From texts and labels to the tensors a model is fine-tuned on.

Shapes: N examples, T length, S length of the decoder's side.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from minift.objectives.causal import shift_right
from minift.tokenizers import Tokenizer
from minift.training import metrics

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
    """Questions on contexts; labels (N, 2) are the first and last token that cover the answer, and
    is_context (N, T) bool tells the context's own tokens from question, frame and padding.

    `starts` are the characters at which the answers begin in their contexts; None: there is no
    answer. Such a row points at token 0 ([CLS] as in SQuAD 2.0), and so does one whose answer is
    cut off with the end of its context, or is not in the words of its tokens, because the
    vocabulary lacks them; nothing else does.

    Raises
    ------
    ValueError : a start below 0, which is how "not found" is often written.
    """
    dataset = tokenizer(list(questions), list(contexts), max_length=max_length, return_offsets=True)
    offsets = dataset.pop("offsets")  # (N, T, 2)
    has_text = offsets[..., 0] < offsets[..., 1]  # the frame and padding have none
    dataset["is_context"] = dataset["token_type_ids"].bool() & has_text
    if answers is None or starts is None:
        return dataset
    labels = torch.zeros(len(questions), 2, dtype=torch.int64)
    for row, (context, answer, start) in enumerate(zip(contexts, answers, starts)):
        if start is None:
            continue
        if start < 0:
            raise ValueError(f"starts must be at least 0, or None, got {start} in row {row}")
        words = answer.strip()
        if not words:
            continue
        begin = start + answer.index(words)
        end = begin + len(words)
        token_begins, token_ends = offsets[row].unbind(-1)  # (T,)
        covers = dataset["is_context"][row] & (token_begins < end) & (token_ends > begin)
        # What of the answer lies behind its last token may be cut off, or hold none.
        if not covers.any() or tokenizer.tokenize(context[int(token_ends[covers].max()) : end]):
            continue
        span = covers.nonzero()[[0, -1], 0]
        wanted = tokenizer.decode(tokenizer.encode(words, special_tokens=False))
        if wanted and wanted in decode_span(tokenizer, dataset["input_ids"][row], span):
            labels[row] = span
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
    """The words of a predicted span: input_ids (T,), span (2,) -> text; "" of token 0 alone."""
    first, last = span.tolist()
    # Token 0 is never in the context: [CLS], or where a layout has none the question's first word.
    return tokenizer.decode(input_ids[first : last + 1].tolist()) if last else ""


def answer_scores(
    tokenizer: Tokenizer, input_ids: Tensor, spans: Tensor, answers: Sequence[Sequence[str]]
) -> dict[str, float]:
    """SQuAD's exact match and F1: the words of spans (N, 2) of input_ids (N, T) against `answers`.

    Each row counts by the accepted answer that suits it best; "" is that there is none. Answers are
    read and written by the tokenizer too, which may change their spaces. One with a word that the
    vocabulary lacks stays as it is, or it would become another answer: nothing can equal it.
    """

    def as_written(answer: str) -> str:
        ids = tokenizer.encode(answer, special_tokens=False)
        return answer if tokenizer.unk_id in ids else tokenizer.decode(ids)

    written = [decode_span(tokenizer, row, span) for row, span in zip(input_ids, spans)]
    accepted = [[as_written(answer) for answer in row] for row in answers]
    return {
        "exact": metrics.span_exact_match(written, accepted),
        "f1": metrics.span_f1(written, accepted),
    }

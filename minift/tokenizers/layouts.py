"""Which special tokens there are, and where they stand around a text or a pair of texts.

A frame is three words, the prefix, the separator and the suffix:

    a text    prefix a suffix                    a pair    prefix a separator b suffix
    bert      [CLS] a [SEP]                                [CLS] a [SEP] b [SEP]
    t5        a </s>                                       a </s> b </s>
    gpt       a                                            a <|endoftext|> b

Papers: Devlin et al. 2019 (section 3 and figure 2); Raffel et al. 2020 (T5); Radford et al. 2018
(figure 1, a delimiter between the texts of a pair) and 2019 (<|endoftext|>, the only special token
of GPT-2, which serves as delimiter and as padding here).
"""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class SpecialTokens:
    """The special tokens of a layout by their roles, and which of them frame a text."""

    pad_token: str  # fills a row up; the attention mask hides it
    eos_token: str | None = None  # ends a text; generation stops at it
    unk_token: str | None = None  # stands for what the vocabulary cannot spell
    cls_token: str | None = None  # a place for the summary of the whole row
    sep_token: str | None = None  # ends each text of a pair
    mask_token: str | None = None  # hides a token from a masked language model
    prefix_token: str | None = None  # before the first text
    separator_token: str | None = None  # between the two texts of a pair
    suffix_token: str | None = None  # after the last text

    @property
    def tokens(self) -> list[str]:
        """Each special token once, in the order of the fields: a new vocabulary begins so."""
        return list(dict.fromkeys(token for token in astuple(self) if token is not None))


LAYOUTS: dict[str, SpecialTokens] = {
    "bert": SpecialTokens(
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        prefix_token="[CLS]",
        separator_token="[SEP]",
        suffix_token="[SEP]",
    ),
    "t5": SpecialTokens(
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        separator_token="</s>",
        suffix_token="</s>",
    ),
    "gpt": SpecialTokens(
        pad_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        unk_token="<unk>",
        separator_token="<|endoftext|>",
    ),
}


def sentinel_token(number: int) -> str:
    """Return the mark that stands for the span of that number in T5's span corruption."""
    return f"<extra_id_{number}>"

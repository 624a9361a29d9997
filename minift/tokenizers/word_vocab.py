"""The plainest tokenizer: a token is a word or a punctuation mark, and what is rare is unknown.

This was how language models read before subwords (word2vec: Mikolov et al. 2013), and at the scale
of a few thousand words it is still the clearest: one id, one word. The layouts of BERT, T5 and GPT
are offered here too, so that each of the models can be tried with whole words.

Text is lower-cased. An apostrophe within a word begins a token ("dog's" is "dog" and "'s").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import ClassVar

from minift.tokenizers.base import Span, Tokenizer, check_texts, join_words
from minift.tokenizers.layouts import LAYOUTS, sentinel_token

WORD_PATTERN = re.compile(r"\w+|(?<=\w)'\w+|[^\w\s]")


class WordVocab(Tokenizer):
    """Whole lower-cased words and single punctuation marks.

    Parameters
    ----------
    vocab : the tokens, with the special tokens of the layout among them; id = position.
    layout : "bert", "t5" or "gpt": which special tokens there are and where they stand.
    """

    kind: ClassVar[str] = "word_vocab"
    setting_names: ClassVar[tuple[str, ...]] = ("layout",)

    def __init__(self, vocab: Sequence[str], layout: str = "bert") -> None:
        if layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {list(LAYOUTS)}, got {layout!r}")
        super().__init__(vocab, LAYOUTS[layout])
        self.layout = layout

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        *,
        min_count: int = 1,
        layout: str = "bert",
        num_sentinels: int = 0,
    ) -> WordVocab:
        """Keep the commonest words; of equally common ones those first in the alphabet.

        Parameters
        ----------
        vocab_size : the most tokens there may be, special tokens and sentinels included.
        min_count : words that occur less often stay unknown.
        num_sentinels : number of marks <extra_id_0>, <extra_id_1>, ... for T5's span corruption.
        """
        check_texts(texts)
        if layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {list(LAYOUTS)}, got {layout!r}")
        special = LAYOUTS[layout].tokens + [sentinel_token(n) for n in range(num_sentinels)]
        if vocab_size <= len(special):
            raise ValueError(
                f"vocab_size must be above {len(special)}, the special tokens, got {vocab_size}"
            )
        counts = Counter(word for text in texts for word in split_words(text))
        ranking = sorted(counts, key=lambda word: (-counts[word], word))
        words = [word for word in ranking if counts[word] >= min_count]
        return cls(special + words[: vocab_size - len(special)], layout)

    def tokenize(self, text: str) -> list[str]:
        assert self.special.unk_token is not None  # every layout has one
        unknown = self.special.unk_token
        return [word if word in self._ids else unknown for word in split_words(text)]

    def spans(self, text: str) -> list[Span]:
        # Lower-casing may lengthen: of "İ" are left "i" and a dot.
        places = [place for place, sign in enumerate(text) for _ in sign.lower()]
        words = WORD_PATTERN.finditer(text.lower())
        return [(places[word.start()], places[word.end() - 1] + 1) for word in words]

    def detokenize(self, tokens: Sequence[str]) -> str:
        return join_words(tokens)


def split_words(text: str) -> list[str]:
    """Cut text into lower-cased words and punctuation marks.

    >>> split_words("The dog's asleep!")
    ['the', 'dog', "'s", 'asleep', '!']
    """
    return WORD_PATTERN.findall(text.lower())

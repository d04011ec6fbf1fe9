"""A classifier's question in words, as one base reads it: which tokens are asked for, and where they stand.

    It was [MASK] .              masked: each label word is read at as many masks as it has tokens
    It was | gre at              causal: token j of a word is read where the tokens before it have been written

Rows are written in as few *forms* as this takes: one for each number of masks, or one for each beginning of label words
that differs. With words of one token each there is a single form.

Shape letters: C labels, W words of all labels.
"""

from functools import cached_property
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

Word = tuple[int, ...]
"""A label word as tokens."""


class Shot(BaseModel):
    """A worked example in front of each row."""

    model_config = ConfigDict(frozen=True)

    text: str
    """As its row has it: a row that is an example itself is asked without it."""
    pair: str = ""
    label: str
    written: str = ""
    """The filled template, its texts cut to their share of the room."""


class Pick(NamedTuple):
    """A token of a label word and where it is read."""

    word: int
    """Number of the word among the W."""
    place: int
    """Which of the positions that are read, from 0."""
    token: int
    share: float
    """1 over the tokens of the word."""


class Wording(BaseModel):
    """Label words in tokens, worked examples, and what the base prefers before it has read anything."""

    model_config = ConfigDict(frozen=True)

    causal: bool = False
    mask: int | None = None
    """The mask's token; None for causal models."""
    words: tuple[tuple[Word, ...], ...] = ()
    """Label -> its words."""
    spelt: tuple[str, ...] = ()
    """Label -> its words as the tokenizer spells them, for people."""
    combine: Literal["mean", "sum"] = "mean"
    shots: tuple[Shot, ...] = ()
    offsets: tuple[float, ...] = ()
    """(C,): log-probabilities of the labels for texts without content, taken off the logits; empty: not calibrated."""

    @cached_property
    def flat(self) -> tuple[Word, ...]:
        """All W words, label by label."""
        return tuple(word for label in self.words for word in label)

    @cached_property
    def forms(self) -> tuple[Word, ...]:
        """What is written in place of the mask in each form, the longest first: it tells what a row costs."""
        if not self.causal:
            assert self.mask is not None
            return tuple((self.mask,) * count for count in sorted({len(word) for word in self.flat}, reverse=True))
        begun = {word[:-1] for word in self.flat}
        whole = {b for b in begun if not any(b != other and other[: len(b)] == b for other in begun)}
        return tuple(sorted(whole, key=lambda b: (-len(b), b)))

    @property
    def room(self) -> int:
        """Tokens that the longest form wants."""
        return max(map(len, self.forms))

    def reads(self, form: int) -> int:
        """How many positions are read in a form: at its masks, or before and at each token that is written."""
        return len(self.forms[form]) + self.causal

    @property
    def normed(self) -> bool:
        """Whether probabilities over the whole vocabulary are needed. Where each word is one token at one position,
        they differ from the network's scores by the same number for every label, which no answer depends on."""
        return len(self.forms) > 1 or any(len(word) > 1 for word in self.flat)

    def picks(self, form: int) -> list[Pick]:
        """What is read in a form."""
        found = []
        for number, word in enumerate(self.flat):
            if self._home(word) == form:
                found += [Pick(number, place, token, 1 / len(word)) for place, token in enumerate(word)]
        return found

    def _home(self, word: Word) -> int:
        """The form that a word is read in."""
        if not self.causal:
            return next(i for i, form in enumerate(self.forms) if len(form) == len(word))
        begun = word[:-1]
        return next(i for i, form in enumerate(self.forms) if form[: len(begun)] == begun)

"""Texts as windows of tokens, and which token says what a word is.

    words      the   Pumpengehäuse   leaks            a word is read at its first piece
    pieces     the   pump ##en ##ge  leaks
    windows    [CLS  ------------------- SEP]         a long text is read in windows that overlap; each word is
                          [CLS ------------------ SEP]        answered where it stands farthest from a cut

Nothing is cut off. Where a tokenizer joins several words (characters of Chinese) into one piece, the first of them is
read there and the others continue it; a word of which the tokenizer keeps nothing continues the one before it.

Shape letters: T pieces of a text, M words, W windows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.data.ragged import Growing, Ragged
from tunesmith.data.words import Ints, spans_of
from tunesmith.errors import TunesmithError
from tunesmith.scratch import Column
from tunesmith.tasks import Windows


@dataclass(frozen=True)
class Frame:
    """What a tokenizer puts around a text."""

    before: list[int]
    after: list[int]

    @classmethod
    def of(cls, tokenizer: Any) -> "Frame":
        """Seen from what it makes of no text and of a letter. Raises TunesmithError for one without offsets."""
        if not getattr(tokenizer, "is_fast", False):
            raise TunesmithError("base: its tokenizer cannot say which characters a token is. Use a base with a fast "
                                 "one (tokenizer.json)")  # fmt: skip
        none, some = (list(tokenizer(text)["input_ids"]) for text in ("", "a"))
        same = [a == b for a, b in zip(none, some, strict=False)]
        count = same.index(False) if False in same else len(same)
        return cls(none[:count], none[count:])

    @property
    def size(self) -> int:
        """How many tokens these are."""
        return len(self.before) + len(self.after)


def cuts(pieces: int, room: int, stride: int) -> NDArray[np.int64]:
    """Where windows of `room` pieces begin that overlap by at least `stride`; the last one ends with the text."""
    if pieces <= room:
        return np.zeros(1, dtype=np.int64)
    return np.append(np.arange(0, pieces - room, room - stride), pieces - room).astype(np.int64)


def window_of(at: Ints, begins: Ints, room: int) -> Ints:
    """Which window answers pieces: that in whose middle they stand most. Windows are of one length, so between two
    neighbours it changes halfway between their middles."""
    switch = (begins[1:] + begins[:-1] + room - 1) / 2
    return np.asarray(np.searchsorted(switch, at, side="left"))


@dataclass
class Making:
    """Texts in the making."""

    frame: Frame
    limit: int
    stride: int
    every_piece: bool
    nothing: int
    """The token that stands for an empty text where a tokenizer puts none around it."""

    def __post_init__(self) -> None:
        self.ids, self.reads = Growing(), Growing()
        self.texts, self.parts = Column(np.int64), Column(np.int64)
        self.places, self.follows = Column(np.int64), Column(np.bool_)
        self.word_of, self.goes_on = Column(np.int64), Column(np.bool_)
        """Of each place that is read: its word among all, -1 for none; whether it is a further piece of that word."""
        self.words = 0

    def add(self, ids: Sequence[int], offsets: Sequence[tuple[int, int]], words_M2: Ints) -> None:
        """A text: its pieces with their characters, and the characters of its words."""
        room = self.limit - self.frame.size
        if room < 1:
            raise TunesmithError(
                f"task.max_tokens: {self.limit} leaves no room beside the special tokens. Set it higher"
            )
        begins = cuts(len(ids), room, min(self.stride, room // 2))
        piece = np.array(offsets, dtype=np.int64).reshape(-1, 2)
        first, follows = _first(piece, words_M2)
        windows = window_of(first, begins, room)
        self.texts.extend([len(begins)])
        self.parts.extend(np.bincount(windows, minlength=len(begins)))
        self.follows.extend(follows)
        for number, begin in enumerate(begins.tolist()):
            own = np.flatnonzero(windows == number)
            self._window(list(ids[begin : begin + room]), begin, own, (first, follows, words_M2, piece))
        self.words += len(words_M2)

    def _window(self, ids: list[int], begin: int, own: Ints, text: tuple[Any, ...]) -> None:
        first, follows, words_M2, piece = text
        at, word, further = first[own], own + self.words, np.zeros(len(own), dtype=bool)
        if self.every_piece and len(own):
            ends = np.minimum(np.searchsorted(piece[:, 0], words_M2[own, 1]), begin + len(ids))
            more = [(t, w) for w, a, b in zip(word, at, ends, strict=True) for t in range(a + 1, b)]
            begun = set(first.tolist())
            more = [(t, w) for t, w in more if t not in begun]
            at = np.append(at, [t for t, _ in more]).astype(np.int64)
            word, further = np.append(word, [w for _, w in more]), np.append(further, np.ones(len(more), dtype=bool))
        leads = ~np.append(follows[own], np.zeros(len(at) - len(own), dtype=bool))
        place_of, index = np.unique(at[leads], return_index=True)
        self.places.extend(np.searchsorted(place_of, at[: len(own)]))
        kept_word, kept_further = word[leads][index], further[leads][index]
        tokens = [*self.frame.before, *ids, *self.frame.after] or [self.nothing]
        reads = np.minimum(place_of - begin + len(self.frame.before), len(tokens) - 1).tolist()
        if not reads:  # a place to read there must be, though nothing is learnt of it
            reads, kept_word, kept_further = [0], np.array([-1]), np.array([False])
        self.ids.extend([tokens])
        self.reads.extend([reads])
        self.word_of.extend(kept_word)
        self.goes_on.extend(kept_further)

    def done(self) -> tuple[Ragged, Ragged, Windows]:
        """(tokens, places read, windows)."""
        texts, parts = (np.concatenate([[0], np.cumsum(c.array())]).astype(np.int64) for c in (self.texts, self.parts))
        return self.ids.done(), self.reads.done(), Windows(texts, parts, self.places.array(), self.follows.array())


def _first(piece_T2: Ints, words_M2: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """(first piece of each word, whether the word only continues the one before it), (M,) each."""
    if not len(piece_T2):
        return np.zeros(len(words_M2), dtype=np.int64), np.arange(len(words_M2)) > 0
    first = np.searchsorted(piece_T2[:, 1], words_M2[:, 0], side="right")
    kept = (first < len(piece_T2)) & (piece_T2[np.minimum(first, len(piece_T2) - 1), 0] < words_M2[:, 1])
    first = np.maximum.accumulate(np.where(kept, first, 0))
    return first, np.append(False, first[1:] == first[:-1]) if len(first) else np.zeros(0, dtype=bool)


def targets_of(tags_M: Ints, making: Making, known: int) -> Ints:
    """The tag to learn at each place that is read; -1 where none is: no word, or a tag that training does not know.
    Further pieces of a word that begins a span are inside it."""
    word, goes_on = making.word_of.array(), making.goes_on.array()
    tags = np.where(word >= 0, tags_M[np.maximum(word, 0)] if len(tags_M) else -1, -1)
    tags = np.where(goes_on & (tags % 2 == 1) & (tags > 0), tags + 1, tags)
    return np.asarray(np.where(tags < known, tags, -1))


def torn(tags_M: Ints, follows_M: NDArray[np.bool_], offsets: Ints) -> int:
    """How many spans begin or end inside a piece of the tokenizer, so that no answer can have them."""
    found, after = spans_of(tags_M, offsets), np.append(follows_M[1:], False)
    return int((follows_M[found.first] | after[found.last]).sum())

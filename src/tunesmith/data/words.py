"""Words of texts and the tags on them: where each stands, and the spans that tags spell.

    tags     O  B-part  I-part  O  B-place        0 is O; of type k, 2 k + 1 is B- and 2 k + 2 is I-
    spans       [-----------]     [-----]

Shape letters: N texts, M words of all texts end to end, K spans.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Words:
    """The words of N texts, end to end."""

    texts: Sequence[str]
    offsets: Ints
    """(N + 1,): where the words of each text begin."""
    starts: NDArray[np.int32]
    """(M,): first character of each word in its text."""
    ends: NDArray[np.int32]
    """(M,): the character behind its last."""
    tags: Ints | None = None
    """(M,): true tags; None where nobody says."""
    strange: tuple[str, ...] = ()
    """Tags that training never saw, numbered after those it did."""

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def counts(self) -> Ints:
        """(N,): words of each text."""
        return np.diff(self.offsets)

    def take(self, rows: NDArray[np.bool_] | Ints) -> "tuple[Words, Ints]":
        """Some texts, by mask or by number, and which words are theirs."""
        index = np.flatnonzero(rows) if rows.dtype == bool else np.asarray(rows, dtype=np.int64)
        own = ranges(self.offsets, index)
        tags = None if self.tags is None else self.tags[own]
        offsets = np.concatenate([[0], np.cumsum(self.counts[index])])
        texts = [self.texts[i] for i in index.tolist()]
        return replace(self, texts=texts, offsets=offsets, starts=self.starts[own], ends=self.ends[own], tags=tags), own

    def above(self, other: "Words") -> "Words":
        """These texts, and others behind them."""
        starts, ends = np.concatenate([self.starts, other.starts]), np.concatenate([self.ends, other.ends])
        offsets = np.concatenate([self.offsets, other.offsets[1:] + len(self)])
        return Words([*self.texts, *other.texts], offsets, starts, ends, strange=self.strange)

    def said(self) -> list[str]:
        """Each word as a string."""
        rows = np.repeat(np.arange(len(self.texts)), self.counts).tolist()
        places = zip(rows, self.starts.tolist(), self.ends.tolist(), strict=True)
        return [self.texts[row][start:end] for row, start, end in places]


class Spans(NamedTuple):
    """Runs of tagged words, (K,) each."""

    rows: Ints
    first: Ints
    """Among the words of all texts."""
    last: Ints
    types: Ints


def ranges(offsets: Ints, rows: Ints) -> Ints:
    """The numbers from offsets[r] up to offsets[r + 1], for these rows end to end."""
    lengths = offsets[rows + 1] - offsets[rows]
    before = np.cumsum(lengths) - lengths
    return np.asarray(np.arange(int(lengths.sum())) + np.repeat(offsets[rows] - before, lengths))


def spans_of(tags_M: Ints, offsets: Ints, *, strict: bool = False) -> Spans:
    """The spans that tags spell. A span begins at B-, or at an I- that continues nothing of its type (the rule of
    conlleval, and of seqeval by default); `strict` drops the latter."""
    types = np.where(tags_M > 0, (tags_M - 1) // 2, -1)
    before, after = np.full_like(types, -1), np.full_like(types, -1)
    before[1:], after[:-1] = types[:-1], types[1:]
    edges = offsets[(offsets > 0) & (offsets < len(types))]
    before[edges], after[edges - 1] = -1, -1
    opens = (tags_M % 2 == 1) | ((tags_M > 0) & (before != types))
    follows = np.append(opens[1:], True)
    closes = (tags_M > 0) & ((after != types) | follows)
    first, last = np.flatnonzero(opens), np.flatnonzero(closes)
    if strict:
        whole = tags_M[first] % 2 == 1
        first, last = first[whole], last[whole]
    return Spans(np.searchsorted(offsets, first, side="right") - 1, first, last, types[first])

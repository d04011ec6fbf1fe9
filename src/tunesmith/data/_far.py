"""Which pairs of short texts are surely no near twins, a few thousand pairs at once.

    edit distance of characters and of words, both beyond what the similarity allows -> far

The same recurrence as `_edits.distance`, with a column of the table of each pair in a number of 64 bits, so texts of up
to 64 characters. Characters are kept as 8 bits and words as 16: where two different ones are taken for one, a distance
is too small and the pair is only not told to be far. Whoever is not told so is compared exactly.

Shape letters: N texts, P pairs, W = 64 places.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith import scratch
from tunesmith.data._edits import units

_W = 64
_ONE = np.uint64(1)
_MIX = np.uint32(0x9E3779B1)

Flags = NDArray[np.bool_]
Index = NDArray[np.int64]


class Sketches:
    """Texts in the making as rows of small numbers, 0 being none."""

    def __init__(self) -> None:
        self._chars, self._words = _Ragged(np.uint8), _Ragged(np.uint16)

    def add(self, texts: Sequence[str]) -> None:
        """Some more texts."""
        codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), "<u4") * _MIX >> np.uint32(24)
        self._chars.add(np.maximum(codes, 1), [len(text) for text in texts])
        words = [units(text) if len(text) <= _W else [] for text in texts]
        hashed = [hash(word) % 65535 + 1 for some in words for word in some]  # differs by process; results do not
        self._words.add(hashed, [len(some) for some in words])

    def done(self) -> "Sketches":
        """All texts."""
        self._chars.done()
        self._words.done()
        return self

    def far(self, one: Index, other: Index, least: float) -> Flags:
        """(P,): pairs of texts that are surely less alike than `least`; never one of longer texts, or of empty ones."""
        out = np.zeros(len(one), np.bool_)
        sizes = [self._chars.sizes[rows] for rows in (one, other)]
        left = np.flatnonzero((np.maximum(*sizes) <= _W) & (np.minimum(*sizes) > 0))
        for kept in (self._words, self._chars):
            left = left[~kept.close(one[left], other[left], least)]
        out[left] = True
        return out


class _Ragged:
    """N rows of numbers, end to end."""

    def __init__(self, dtype: Any) -> None:
        self._flat, self._sizes = scratch.Column(dtype), scratch.Column(np.int32)
        self._starts, self._end = scratch.Column(np.int64), 0

    def add(self, flat: Any, sizes: Sequence[int]) -> None:
        ends = self._end + np.cumsum(sizes, dtype=np.int64)
        self._flat.extend(flat)
        self._sizes.extend(sizes)
        self._starts.extend(ends - sizes)
        self._end = int(ends[-1])

    def done(self) -> None:
        self._flat.extend([0] * _W)  # what is read of the last row may lie behind it
        self.flat, self.sizes, self.starts = self._flat.array(), self._sizes.array(), self._starts.array()

    def close(self, one: Index, other: Index, least: float) -> Flags:
        """(P,): whether the edits between two rows are no more than `least` allows."""
        sizes = self.sizes[one], self.sizes[other]
        most = ((1 - least) * np.maximum(*sizes) + 1e-9).astype(np.int64)
        found: Flags = np.abs(sizes[0] - sizes[1]) <= most
        some = np.flatnonzero(found)
        rows_PW = [self._padded(rows[some]) for rows in (one, other)]
        found[some] = distances(rows_PW[0], sizes[0][some], rows_PW[1], sizes[1][some]) <= most[some]
        return found

    def _padded(self, rows: Index) -> NDArray[Any]:
        out_PW = self.flat[self.starts[rows][:, None] + np.arange(_W)]
        out_PW[np.arange(_W) >= self.sizes[rows][:, None]] = 0
        return out_PW


def distances(one: NDArray[Any], sizes: NDArray[Any], other: NDArray[Any], lengths: NDArray[Any]) -> Index:
    """(P,): Levenshtein's distance of each pair of rows: (P, W) and (P, W) numbers, of which the first `sizes` and
    `lengths` count, at least one; the rest is 0."""
    whole = ~np.uint64(0)
    last = _ONE << (sizes - 1).astype(np.uint64)
    up, down, found = np.full(len(one), whole), np.zeros(len(one), np.uint64), sizes.astype(np.int64)
    for place in range(int(lengths.max(initial=0))):
        match = np.packbits(one == other[:, place : place + 1], axis=1, bitorder="little").view(np.uint64)[:, 0]
        match[place >= lengths] = 0
        level = (((match & up) + up) ^ up) | match | down
        right, left = down | ~(level | up), up & level
        found += ((right & last).astype(np.bool_).astype(np.int64) - (left & last).astype(np.bool_)) * (place < lengths)
        right = right << _ONE | _ONE
        up = (left << _ONE) | ~(match | down | right)
        down = right & (match | down)
    return found

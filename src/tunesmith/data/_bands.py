"""Which signatures may be of near twins: rows that agree in a band, and in enough of all values (LSH).

Of each band of 16-bit values three make the bucket, and the fourth orders it, so that the most alike stand side by
side. A row is compared with the 16 rows after it in each bucket: what a common phrase brings together costs no square
of its rows, and which rows stood in such a bucket is told.

Shape letters: N rows, P pairs.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from tunesmith import scratch
from tunesmith.data._minhash import BANDS, VALUES, Signatures

Index = NDArray[np.int64]
Open = Callable[[Index, Index], NDArray[np.bool_]]
"""(P,) and (P,) rows -> (P,): which of these pairs would tell anything new by now."""
WINDOW = 16
"""Rows after it in a bucket that a row is compared with."""
_ORDER = np.uint64(64 // VALUES)
_ENOUGH = 36
"""Equal values, of 128, of a pair that is looked at more closely: of 100 pairs with a tenth of their characters edited
99 have a Jaccard similarity above 0.4, and this is three standard errors below it."""
MANY = BANDS // 4
"""Crowded bands of a row beyond which it counts as not compared with all: the others find its twins nearly always."""
_PAIRS = 1 << 15


class Candidates:
    """Pairs of rows of one set of signatures, each pair once but for rows in crowded buckets."""

    def __init__(self, signatures: Signatures, open_: Open | None = None, tick: Callable[[], object] = bool) -> None:
        """`open_`: pairs that it closes are left out before their signatures are compared, which is what most of the
        time goes into: rows of one template cost 512 comparisons each. `tick` is called after each band."""
        self._of, self._open, self._tick = signatures, open_, tick
        self.crowds = scratch.room(len(signatures), np.uint8)
        """(N,): in how many bands a row stood in a bucket too large to compare all its rows, known at the end."""

    def __iter__(self) -> Iterator[tuple[Index, Index]]:
        """(P,) and (P,): the earlier and the later rows of pairs, some thousands at a time, those first that agree in
        most values."""
        for band in range(BANDS):
            keys = scratch.room(len(self._of), np.uint64)
            for part in scratch.blocks(len(keys)):
                keys[part] = self._of[part, band]
            for one, other in self._side_by_side(keys):
                for start in range(0, len(one), _PAIRS):
                    yield self._likely(one[start : start + _PAIRS], other[start : start + _PAIRS], band)
            self._tick()

    def _side_by_side(self, keys: NDArray[np.uint64]) -> Iterator[tuple[Index, Index]]:
        order = scratch.order(keys)
        for part in scratch.blocks(len(order)):
            before = min(WINDOW + 1, part.start)
            rows = order[part.start - before : part.stop + WINDOW + 1]
            bucket, own = keys[rows] >> _ORDER, slice(before, before + part.stop - part.start)
            far, crowded = bucket[WINDOW + 1 :] == bucket[: -WINDOW - 1], np.zeros(len(rows), np.bool_)
            crowded[WINDOW + 1 :] |= far
            crowded[: len(far)] |= far
            self.crowds[rows[own][crowded[own]]] += 1
            for step in range(1, WINDOW + 1):
                same = np.flatnonzero(bucket[before + step :] == bucket[before:-step])
                same = before + same[same < part.stop - part.start]
                if not len(same):
                    break
                yield np.minimum(rows[same], rows[same + step]), np.maximum(rows[same], rows[same + step])

    def _likely(self, one: Index, other: Index, band: int) -> tuple[Index, Index]:
        """Pairs that are open, agree in enough values, and were not met in an earlier band."""
        if self._open is not None:
            left = self._open(one, other)
            one, other = one[left], other[left]
        differ = self._of[one] ^ self._of[other]
        equal = np.count_nonzero(differ.view(np.uint16) == 0, axis=1)
        met = ((differ[:, :band] >> _ORDER) == 0).any(axis=1)
        new = ~met | (self.crowds[one] > 0) | (self.crowds[other] > 0)
        likely = np.flatnonzero((equal >= _ENOUGH) & new)
        likely = likely[np.argsort(-equal[likely], kind="stable")]
        return one[likely], other[likely]

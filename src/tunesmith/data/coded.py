"""A column of names as numbers: labels and groups of many rows in four bytes each.

Shape letters: N rows, C different names.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunesmith import scratch

_HELD = 1 << 16
"""Numbers held before they go into their column."""


@dataclass(frozen=True)
class Coded:
    """N names, C of them different."""

    names: tuple[str, ...]
    """In the order of their first row."""
    numbers: NDArray[np.int32]
    """(N,): the place of each row's name in `names`."""

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(C,): rows of each name."""
        out = np.zeros(len(self.names), dtype=np.int64)
        for part in scratch.blocks(len(self)):
            out += np.bincount(self.numbers[part], minlength=len(out))
        return out

    @property
    def counts(self) -> Counter[str]:
        """Rows of each name, in the order of their first row."""
        return Counter(dict(zip(self.names, self.sizes.tolist(), strict=True)))

    def rows(self) -> list[NDArray[np.int64]]:
        """The rows of each name, in order: views into one array (N,), sorted by counting, a block at a time."""
        ends = np.cumsum(self.sizes)
        out, free = scratch.room(len(self), np.int64), ends - self.sizes
        for part in scratch.blocks(len(self)):
            numbers = self.numbers[part]
            order = np.argsort(numbers, kind="stable")
            here = np.bincount(numbers, minlength=len(free))
            before = np.cumsum(here) - here
            names = numbers[order]
            out[free[names] + np.arange(len(names)) - before[names]] = order + part.start
            free += here
        return np.split(out, ends[:-1]) if self.names else []


def coded(values: Iterable[str]) -> Coded:
    """Names as numbers."""
    known: dict[str, int] = {}
    column, held = scratch.Column(np.int32), list[int]()
    for value in values:
        held.append(known.setdefault(value, len(known)))
        if len(held) == _HELD:
            column.extend(held)
            held.clear()
    column.extend(held)
    return Coded(tuple(known), column.array())

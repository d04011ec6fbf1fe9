"""How whole numbers are spread: quantiles of very many of them, from how often each occurs."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunesmith import scratch


@dataclass(frozen=True)
class Spread:
    """How often 0, 1, 2 … occur."""

    counts: NDArray[np.int64]

    @classmethod
    def of(cls, arrays: Iterable[NDArray[np.int64]]) -> "Spread":
        """Of all numbers in some arrays."""
        counts = np.zeros(1, dtype=np.int64)
        for values in arrays:
            for part in scratch.blocks(len(values)):
                here = np.bincount(values[part])
                counts = np.pad(counts, (0, max(0, len(here) - len(counts))))
                counts[: len(here)] += here
        return cls(counts)

    @property
    def largest(self) -> int:
        """The largest number."""
        return int(np.flatnonzero(self.counts)[-1])

    def at(self, share: float) -> float:
        """The quantile, as np.quantile gives it: linear between the two nearest numbers."""
        ends = np.cumsum(self.counts)
        place = share * (int(ends[-1]) - 1)
        low, high = (int(np.searchsorted(ends, int(p), side="right")) for p in (np.floor(place), np.ceil(place)))
        return float(np.quantile([low, high], place - np.floor(place)))

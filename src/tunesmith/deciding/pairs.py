"""Two sides that answered the same rows, each with one model or with several seeds of one recipe."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tunesmith.errors import TunesmithError
from tunesmith.evaluation.intervals import CELLS, check, draws, number
from tunesmith.metrics import Answers, Floats, Ints, Metric

Side = tuple[Answers, ...]
"""Answers of each seed of a side."""


@dataclass(frozen=True)
class Pair:
    """What is compared. `a` may be empty: what remains is `b` alone, whose interval over seeds is then asked for."""

    metric: Metric
    a: Side
    b: Side

    def __post_init__(self) -> None:
        first = self.b[0]
        for each in (*self.a, *self.b):
            check([self.metric], each)
            if each.kind != first.kind or each.labels != first.labels or not np.array_equal(each.truth, first.truth):
                raise TunesmithError(
                    f"compare: the sides were not measured on the same rows ({each.rows} and {first.rows} rows, "
                    f"{len(each.labels)} and {len(first.labels)} labels). Let all answer one file: --data FILE"
                )

    @property
    def rows(self) -> int:
        """Number N of rows."""
        return self.b[0].rows

    @cached_property
    def unit_of(self) -> Ints:
        """(N,) number of the unit that each row is drawn with."""
        groups = self.b[0].groups
        return np.arange(self.rows) if groups is None else number(groups, self.rows)

    @property
    def units(self) -> int:
        """How many units can be drawn."""
        return int(self.unit_of.max()) + 1

    def side(self, answers: Side, weight_RN: Floats) -> Floats:
        """Mean over the seeds of a side, (R,); 0 for a side that is not there."""
        if not answers:
            return np.zeros(len(weight_RN))
        mean_R: Floats = np.mean([self.metric.measure(each, weight_RN) for each in answers], axis=0)
        return mean_R

    def difference(self, weight_RN: Floats) -> Floats:
        """b minus a for R weightings of the rows, (R,)."""
        return self.side(self.b, weight_RN) - self.side(self.a, weight_RN)

    def drawn(self, resamples: int, seed: int) -> Floats:
        """The difference on `resamples` draws of units with replacement, (R,)."""
        groups = self.b[0].groups
        return np.concatenate([self.difference(w) for w in draws(self.rows, resamples, seed, groups)])

    def without(self, dropped_KN: Iterator[NDArray[np.bool_]]) -> Floats:
        """The difference with some rows left out, one value for each row of each chunk of masks."""
        return np.concatenate([self.difference((~mask_KN).astype(np.float64)) for mask_KN in dropped_KN])

    def take(self, rows: Ints | NDArray[np.bool_]) -> "Pair":
        """The same on some of the rows."""
        return replace(self, a=tuple(e.take(rows) for e in self.a), b=tuple(e.take(rows) for e in self.b))


def masks(block_N: Ints, chosen: Ints) -> Iterator[NDArray[np.bool_]]:
    """Masks (some K, N) of the rows in each of the chosen blocks, few enough at a time to fit in memory."""
    step = max(1, CELLS // len(block_N))
    for start in range(0, len(chosen), step):
        yield chosen[start : start + step, None] == block_N[None]

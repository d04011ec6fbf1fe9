"""Rows of several kinds (domains, tasks) in a fixed proportion, whatever their numbers are.

    source  1 2 3 4 5 6 7 | 8 9 ...          an epoch: so many rows of each kind, spread evenly over it or shuffled
    target  a b c | d a b | ...              a kind goes round and round, in a new order each time
    epoch   1 a 2 3 b 4 5 c 6 7

A function of seed and epoch, as every order of rows here, so that resuming needs no state.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tunesmith.data.ragged import Ragged
from tunesmith.scratch import Column
from tunesmith.tasks._encoded import Encoded

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Blend:
    """Which rows there are of each kind, and how many of them make an epoch."""

    rows: tuple[Ints, ...]
    counts: tuple[int, ...]
    even: bool = True
    """Whether every step has its share of each kind; otherwise the epoch is shuffled, and steps differ by chance."""

    @classmethod
    def of(cls, first: Ints, others: Sequence[tuple[Ints, float]]) -> "Blend":
        """Every row of the first kind once an epoch, and of the others as many as give them their shares of it."""
        others = [(rows, share) for rows, share in others if len(rows)]
        total = len(first) / (1 - sum(share for _, share in others))
        counts = [max(1, round(total * share)) for _, share in others]
        return cls((first, *(rows for rows, _ in others)), (len(first), *counts))

    def __len__(self) -> int:
        """Rows an epoch."""
        return sum(self.counts)

    def order(self, seed: int, epoch: int) -> Ints:
        """The rows of an epoch in training order; where it is even, any stretch of it has the proportions of the whole,
        to a row."""
        drawn = np.concatenate([self._drawn(kind, seed, epoch) for kind, count in enumerate(self.counts) if count])
        if not self.even:
            return drawn[np.random.default_rng([seed, epoch, 1]).permutation(len(drawn))]
        places = np.concatenate([(np.arange(count) + 0.5) / count for count in self.counts if count])
        return drawn[np.argsort(places, kind="stable")]

    def _drawn(self, kind: int, seed: int, epoch: int) -> Ints:
        """What an epoch takes of the endless row of permutations of one kind."""
        rows, count = self.rows[kind], self.counts[kind]
        start = epoch * count
        rounds = range(start // len(rows), -(-(start + count) // len(rows)))
        many = np.concatenate([np.random.default_rng([seed, r, 6, kind]).permutation(rows) for r in rounds])
        return many[start - rounds[0] * len(rows) :][:count]

    def tokens(self, lengths_N: Ints) -> float:
        """Tokens of an epoch, on average."""
        return float(sum(c * lengths_N[rows].mean() for rows, c in zip(self.rows, self.counts, strict=True) if c))


def stacked(first: Encoded, second: Encoded) -> Encoded:
    """Rows with targets, and behind them rows without any, which count nothing in the task's loss."""
    assert first.targets is not None, "rows to learn from have targets"
    shape = (len(second), *first.targets.shape[1:])
    none = np.full(shape, -1 if first.targets.dtype == np.int64 else 0, dtype=first.targets.dtype)
    types = None
    if first.types is not None or second.types is not None:
        types = _behind(_types(first), _types(second))
    soft = first.soft
    if soft is not None:
        soft = np.concatenate([soft, np.zeros((len(second), soft.shape[1]), dtype=soft.dtype)])
    side = None if first.side is None or second.side is None else np.concatenate([first.side, second.side])
    return replace(
        first, ids=_behind(first.ids, second.ids), types=types, lost=np.concatenate([first.lost, second.lost]),
        targets=np.concatenate([first.targets, none]), side=side, soft=soft,
        weights=np.concatenate([first.weights, np.zeros(len(second), dtype=np.float32)]),
    )  # fmt: skip


def _types(encoded: Encoded) -> Ragged:
    return encoded.types or Ragged(np.zeros(len(encoded.ids.flat), dtype=np.int32), encoded.ids.offsets)


def _behind(first: Ragged, second: Ragged) -> Ragged:
    flat = Column(np.int32)
    for part in (first, second):
        flat.extend(part.flat[part.offsets[0] : part.offsets[-1]])
    ends = second.offsets[1:] - second.offsets[0] + first.size
    return Ragged(flat.array(), np.concatenate([first.offsets - first.offsets[0], ends]))

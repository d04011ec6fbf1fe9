"""Whole numbers in given proportions, and rows that are drawn evenly: each as often as any other, or once more."""

from collections.abc import Iterator, Sequence

import numpy as np

from tunesmith import scratch
from tunesmith.data.rows import Index


def apportioned(total: int, shares: Sequence[float]) -> tuple[int, ...]:
    """`total` in whole numbers in these proportions, by largest remainders; the same shares always give the same."""
    exact = np.array(shares, dtype=np.float64) / sum(shares) * total
    whole = np.floor(exact).astype(np.int64)
    for place in np.argsort(-(exact - whole), kind="stable")[: total - int(whole.sum())]:
        whole[place] += 1
    return tuple(whole.tolist())


def tempered(sizes: Sequence[float], temperature: float) -> list[float]:
    """sizes ** (1 / temperature): as they are at 1, and the more alike the larger it is (Devlin et al. 2018, mBERT)."""
    return [float(size) ** (1 / temperature) for size in sizes]


def drawn(rows: Index, count: int, order: np.random.Generator) -> Iterator[Index]:
    """`count` of these rows, in pieces: all of them as often as that goes, then as many by chance as are lacking."""
    whole, rest = divmod(count, len(rows))
    for _ in range(whole):
        yield from (rows[part] for part in scratch.blocks(len(rows)))
    order.shuffle(again := scratch.copied(rows))
    again[:rest].sort()
    yield from (again[part] for part in scratch.blocks(rest))

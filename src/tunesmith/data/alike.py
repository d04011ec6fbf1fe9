"""Which rows are one input: by digests of 16 bytes instead of the texts, sorted a part at a time.

Two inputs of one digest would have to be made for it: among 10 million rows the chance is below 1e-24.
Shape letters: N rows.
"""

import hashlib
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunesmith import scratch

Index = NDArray[np.int64]
Words = NDArray[np.uint64]
_PART = 1 << 17
"""Digests sorted at once."""
_HELD = 1 << 18
"""Bytes of digests held before they go into their columns."""


class Digests(NamedTuple):
    """A digest of each row: the two halves of its 16 bytes, (N,) each."""

    high: Words
    low: Words


def digest(parts: Iterable[str]) -> bytes:
    """16 bytes of some texts in order; ("ab", "c") is not ("a", "bc")."""
    whole = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Growing:
    """Digests in the making."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._high, self._low = scratch.Column(np.uint64), scratch.Column(np.uint64)

    def add(self, one: bytes) -> None:
        """Add a row."""
        self._held += one
        if len(self._held) >= _HELD:
            self._flush()

    def _flush(self) -> None:
        both = np.frombuffer(bytes(self._held), np.uint64).reshape(-1, 2)
        self._high.extend(both[:, 0])
        self._low.extend(both[:, 1])
        self._held.clear()

    def done(self) -> Digests:
        """All rows."""
        self._flush()
        return Digests(self._high.array(), self._low.array())


def joined(one: Digests, other: Digests) -> Digests:
    """The rows of both."""
    columns = scratch.Column(np.uint64), scratch.Column(np.uint64)
    for digests in (one, other):
        for column, half in zip(columns, digests, strict=True):
            for part in scratch.blocks(len(half)):
                column.extend(half[part])
    return Digests(columns[0].array(), columns[1].array())


def first_alike(digests: Digests) -> Index:
    """(N,): for each row the first row that has its digest; its own place where it is the first."""
    high, low = digests
    first = scratch.room(len(high), np.int64)
    parts = max(1, len(high) // _PART)
    edges = [(i << 64) // parts for i in range(parts)] + [1 << 64]
    for lowest, beyond in pairwise(edges):
        rows = _between(high, lowest, beyond)
        if len(rows):
            _mark(first, rows, high[rows], low[rows])
    return first


def _between(high: Words, lowest: int, beyond: int) -> Index:
    """Rows whose first half lies in a range: digests are evenly spread, so all ranges hold about as many."""
    found = []
    for part in scratch.blocks(len(high)):
        inside = (high[part] >= np.uint64(lowest)) & (high[part] <= np.uint64(beyond - 1))
        found.append(np.flatnonzero(inside) + part.start)
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _mark(first: Index, rows: Index, high: Words, low: Words) -> None:
    order = np.lexsort((low, high))  # stable: rows of one digest stay in their order
    rows, high, low = rows[order], high[order], low[order]
    starts = np.ones(len(rows), dtype=bool)
    starts[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    run = np.cumsum(starts) - 1
    first[rows] = rows[starts][run]

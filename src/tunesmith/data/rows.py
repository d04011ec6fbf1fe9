"""Records of many rows without a Python object for each: rows of a table, and some of the rows of another sequence.

Whoever walks over a `Sequence[Record]` need not know. Small inputs are plain lists.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import overload

import numpy as np
from numpy.typing import NDArray

from tunesmith import scratch
from tunesmith.data import stored
from tunesmith.data.record import Cell, Record
from tunesmith.data.stored import Line

Index = NDArray[np.int64]


class TableRecords(Sequence[Record]):
    """The good rows of a table as records; their ids count all its rows from `first`."""

    def __init__(self, rows: Sequence[Line], source: str, first: int, bad: Sequence[int], weight: float = 1.0) -> None:
        self._rows, self._source, self._first, self.weight = rows, source, first, weight
        self._bad = np.sort(np.array(bad, dtype=np.int64))
        # the k-th good row stands after as many bad ones as have fewer than k good ones before them
        self._before = self._bad - 1 - np.arange(len(self._bad))

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> list[Record]: ...
    def __getitem__(self, at: int | slice) -> Record | list[Record]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        line, cells = self._rows[at]
        return self._record(int(self.numbers(np.array([int(at) % len(self)]))[0]), line, cells)

    def __iter__(self) -> Iterator[Record]:
        bad = set(self._bad.tolist())
        good = (n for n in range(1, len(self) + len(bad) + 1) if n not in bad) if bad else range(1, len(self) + 1)
        for number, (line, cells) in zip(good, self._rows, strict=True):
            yield self._record(number, line, cells)

    def _record(self, number: int, line: int, cells: dict[str, Cell]) -> Record:
        return Record(self._first + number - 1, self._source, number, line, cells, self.weight)

    def numbers(self, places: Index) -> Index:
        """Row numbers in the file, from 1, of the good rows at some places, from 0."""
        return places + 1 + np.searchsorted(self._before, places, side="right")

    @property
    def ids(self) -> Index:
        """(N,): ids in the ledger."""
        out = scratch.room(len(self), np.int64)
        for part in scratch.blocks(len(self)):
            out[part] = self.numbers(np.arange(part.start, part.stop)) + self._first - 1
        return out


class View(Sequence[Record]):
    """Some rows of a sequence, in any order, some perhaps twice; with other weights if wanted."""

    def __init__(self, base: Sequence[Record], places: Index, weights: NDArray[np.float64] | None = None) -> None:
        self.base, self.places, self.weights = base, places, weights

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> list[Record]: ...
    def __getitem__(self, at: int | slice) -> Record | list[Record]:
        if isinstance(at, slice):
            weights = None if self.weights is None else self.weights[at]
            return list(View(self.base, self.places[at], weights))
        return self._record(int(at))

    def __iter__(self) -> Iterator[Record]:
        if not isinstance(self.base, stored.Stored):
            return map(self._record, range(len(self)))
        found = self.base.walk(self.places)
        return found if self.weights is None else map(weighed, found, self.weights)

    def _record(self, at: int) -> Record:
        record = self.base[int(self.places[at])]
        return record if self.weights is None else weighed(record, self.weights[at])

    @property
    def ids(self) -> Index:
        """(N,): ids in the ledger."""
        return scratch.taken(ids(self.base), self.places)


def weighed(record: Record, weight: float) -> Record:
    """The same row with another weight in the loss."""
    return Record(record.id, record.source, record.row, record.line, record.cells, float(weight))


def is_small(records: Sequence[Record]) -> bool:
    """Whether the rows are a plain list, so that what is made of them may be one, too."""
    return isinstance(records, list)


def chosen(records: Sequence[Record], index: Index) -> Sequence[Record]:
    """Some rows, in the order asked for."""
    if is_small(records):
        return [records[i] for i in index.tolist()]
    if isinstance(records, View):
        weights = None if records.weights is None else scratch.taken(records.weights, index)
        return View(records.base, scratch.taken(records.places, index), weights)
    return View(records, index)


def reweighed(records: Sequence[Record], weights: NDArray[np.float64]) -> Sequence[Record]:
    """The same rows with other weights in the loss."""
    if is_small(records):
        return [weighed(r, w) for r, w in zip(records, weights, strict=True)]
    if isinstance(records, View):
        return View(records.base, records.places, weights)
    return View(records, scratch.filled(range(len(records)), len(records), np.int64), weights)


def joined(parts: Sequence[Sequence[Record]]) -> Sequence[Record]:
    """All rows of several sequences."""
    return parts[0] if len(parts) == 1 else stored.records(chain.from_iterable(parts))


def ids(records: Iterable[Record]) -> Index:
    """(N,): ids in the ledger, without unpacking rows where that can be avoided."""
    if isinstance(records, TableRecords | View):
        return records.ids
    known = records if isinstance(records, Sequence) else list(records)
    return scratch.filled((r.id for r in known), len(known), np.int64)

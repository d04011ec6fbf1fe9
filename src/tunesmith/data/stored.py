"""Rows that do not fit into memory: packed a thousand at a time into a nameless file, and read like a list.

Packed is JSON: it gives back every cell exactly (text with any code point, numbers of any size, lists, null).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from tunesmith import scratch
from tunesmith.data.record import Cell, Record
from tunesmith.progress import walk

T = TypeVar("T")
Unpack = Callable[[Any, list[int] | None], list[T]]
"""Rows of a piece that has been read, all or some of them."""
Line = tuple[int, dict[str, Cell]]
"""A row of a table: the line on which it starts, and its cells."""
PIECE = 1024
"""Rows packed together; reading one row unpacks its piece."""
_ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))


class Stored(Sequence[T], Generic[T]):
    """Rows in a file. Meant to be walked through; a row out of order costs the unpacking of its piece."""

    def __init__(self, packed: scratch.Array, starts: list[int], length: int, unpack: Unpack[T]) -> None:
        self._packed, self._starts, self._length, self._unpack = packed, starts, length, unpack
        self._last: tuple[int, list[T]] = (-1, [])

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> list[T]: ...
    def __getitem__(self, at: int | slice) -> T | list[T]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(self._length))]
        if not -self._length <= at < self._length:
            raise IndexError(f"row {at} of {self._length}")
        number, place = divmod(int(at) % self._length, PIECE)
        last, rows = self._last
        if number != last:
            rows = self._piece(number)
            self._last = (number, rows)
        return rows[place]

    def __iter__(self) -> Iterator[T]:
        with walk(self._length) as bar:
            for number in range(len(self._starts) - 1):
                yield from self._piece(number)
                bar.advance(min(PIECE, self._length - number * PIECE))

    def walk(self, places: NDArray[np.int64]) -> Iterator[T]:
        """Some rows, in the order asked for: a piece is unpacked once for all that follow each other in it, and only
        the rows asked for."""
        with walk(len(places)) as bar:
            for part in scratch.blocks(len(places)):
                numbers, inside = np.divmod(places[part], PIECE)
                edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
                for start, end in pairwise(edges):
                    yield from self._piece(int(numbers[start]), inside[start:end].tolist())
                    bar.advance(end - start)

    def _piece(self, number: int, which: list[int] | None = None) -> list[T]:
        raw = self._packed[self._starts[number] : self._starts[number + 1]].tobytes()
        return self._unpack(json.loads(raw.decode("utf-8", "surrogatepass")), which)


def gather(items: Iterable[T], pack: Callable[[list[T]], Any], unpack: Unpack[T]) -> "list[T] | Stored[T]":
    """The items as a list while they are few, else in a file."""
    packed, starts, held, items = scratch.Column(np.uint8), [0], list[T](), iter(items)
    length, small = 0, True
    while piece := list(islice(items, PIECE)):
        raw = _ENCODER.encode(pack(piece)).encode("utf-8", "surrogatepass")
        packed.extend(np.frombuffer(raw, np.uint8))
        starts.append(starts[-1] + len(raw))
        length += len(piece)
        small = starts[-1] <= scratch.LIMIT
        if small:
            held += piece
        else:
            held.clear()
    return held if small else Stored(packed.array(), starts, length, unpack)


def table_rows(rows: Iterable[Line], tick: Callable[[int], object]) -> Sequence[Line]:
    """The rows of a table, kept in memory or in a file; `tick` is told how many more there are."""

    def pack(piece: list[Line]) -> Any:
        tick(len(piece))
        return _pack_lines(piece)

    return gather(rows, pack, _unpack_lines)


def records(items: Iterable[Record]) -> Sequence[Record]:
    """Records, kept in memory or in a file."""
    return gather(items, _pack_records, _unpack_records)


def save(items: Sequence[Record], folder: Path, name: str) -> None:
    """Write records into a folder, exactly."""
    starts, walked = [0], iter(items)
    with (folder / f"{name}.rows").open("wb") as stream:
        while piece := list(islice(walked, PIECE)):
            raw = _ENCODER.encode(_pack_records(piece)).encode("utf-8", "surrogatepass")
            stream.write(raw)
            starts.append(starts[-1] + len(raw))
    np.save(folder / f"{name}.starts.npy", np.array([*starts, len(items)], np.int64))


def load(folder: Path, name: str) -> Sequence[Record]:
    """The records that were written: as a list while they are few, else where they lie."""
    *starts, length = np.load(folder / f"{name}.starts.npy").tolist()
    file = folder / f"{name}.rows"
    packed = np.asarray(np.memmap(file, np.uint8, "r")) if starts[-1] else np.empty(0, np.uint8)
    found = Stored(packed, starts, length, _unpack_records)
    return list(found) if starts[-1] <= scratch.LIMIT else found


def _pack_lines(rows: list[Line]) -> Any:
    return [line for line, _ in rows], _pack_cells([cells for _, cells in rows])


def _unpack_lines(packed: Any, which: list[int] | None) -> list[Line]:
    lines, (names, rows) = packed
    if which is not None:
        lines, rows = [lines[i] for i in which], [rows[i] for i in which]
    return list(zip(lines, _unpack_cells(names, rows), strict=True))


def _pack_records(rows: list[Record]) -> Any:
    sources = {source: i for i, source in enumerate(dict.fromkeys(r.source for r in rows))}
    places = [(r.id, sources[r.source], r.row, r.line, r.weight) for r in rows]
    return list(sources), places, _pack_cells([r.cells for r in rows])


def _unpack_records(packed: Any, which: list[int] | None) -> list[Record]:
    sources, places, (names, rows) = packed
    if which is not None:
        places, rows = [places[i] for i in which], [rows[i] for i in which]
    return [
        Record(number, sources[source], row, line, cells, weight)
        for (number, source, row, line, weight), cells in zip(places, _unpack_cells(names, rows), strict=True)
    ]


def _pack_cells(rows: list[dict[str, Cell]]) -> Any:
    """(names, values of each row); or (null, rows) where names differ."""
    names = tuple(rows[0])
    if all(tuple(row) == names for row in rows):
        return names, [tuple(row.values()) for row in rows]
    return None, rows


def _unpack_cells(names: Any, rows: Any) -> Any:
    return rows if names is None else [dict(zip(names, values, strict=False)) for values in rows]

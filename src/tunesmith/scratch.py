"""Room for what is larger than memory: arrays that move into nameless temporary files when they grow.

Such a file lies in the folder for temporary files (TMPDIR names another one) and has no name there, so it is gone with
its last reader, even after a kill. Its pages are the system's to drop and read again: they are no memory of ours.
"""

import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.errors import TunesmithError

LIMIT = 8 << 20
"""Bytes that an array may hold in memory. Small, because a job of many rows has a score of such arrays."""
_PIECE = 1 << 20
"""Bytes written at once."""
_BLOCK = 1 << 18
"""Rows worked on at once: what is computed of a whole array passes through memory in such blocks."""
_SORTED = 1 << 20
"""Numbers sorted at once."""

Array = NDArray[Any]


def nameless() -> IO[bytes]:
    """A new empty file without a name; reading it back is a matter of its handle alone."""
    try:
        return tempfile.TemporaryFile(prefix="tunesmith-")
    except OSError as error:
        raise _no_room(error) from error


def write(file: IO[bytes], content: Any) -> None:
    """Write bytes at the end of a nameless file; a full disk is told as what it is."""
    try:
        file.write(content)
    except OSError as error:
        raise _no_room(error) from error


def _no_room(error: OSError) -> TunesmithError:
    return TunesmithError(
        f"cannot write to the folder for temporary files, {tempfile.gettempdir()}: {error.strerror or error}. "
        "Data larger than memory needs room there; name another folder: TMPDIR=/big/disk"
    )


def mapped(file: IO[bytes], dtype: Any) -> Array:
    """The content of a nameless file as an array (N,), which from now on is the one that holds the file open.

    What is written to the array is written to the file.
    """
    file.flush()
    array = np.asarray(np.memmap(file, dtype=dtype, mode="r+"))  # slices of np.memmap cost ten times as much
    file.close()
    return array


def room(length: int, dtype: Any, fill: int = 0) -> Array:
    """An array (length,) to write into: in memory up to LIMIT, else in a nameless file."""
    dtype = np.dtype(dtype)
    if length * dtype.itemsize <= LIMIT:
        return np.full(length, fill, dtype)
    file = nameless()
    for part in blocks(length):
        write(file, np.full(part.stop - part.start, fill, dtype).data)  # written, not left sparse: a full disk is told
    return mapped(file, dtype)


def blocks(length: int) -> Iterator[slice]:
    """Slices that cover an array, each small enough to compute with."""
    return (slice(start, min(start + _BLOCK, length)) for start in range(0, length, _BLOCK))


def filled(values: Iterable[Any], length: int, dtype: Any) -> Array:
    """An array (length,) of what an iterable gives."""
    out, values = Column(dtype), iter(values)
    for part in blocks(length):
        size = part.stop - part.start
        out.extend(np.fromiter(islice(values, size), out.dtype, size))
    return out.array()


def where(values: Array, holds: Callable[[Array], Array] = np.asarray) -> Array:
    """The places of True, (n,) int64, in order; or of values of which something holds, asked a block at a time."""
    out = Column(np.int64)
    for part in blocks(len(values)):
        out.extend(np.flatnonzero(holds(values[part])) + part.start)
    return out.array()


def each(values: Array) -> Iterator[Any]:
    """The values (N,) one by one, as Python's own numbers: never more than a block of them."""
    return (value for part in blocks(len(values)) for value in values[part].tolist())


def copied(values: Array) -> Array:
    """The same values (N,) to write to."""
    out = room(len(values), values.dtype)
    for part in blocks(len(values)):
        out[part] = values[part]
    return out


def taken(values: Array, index: Array) -> Array:
    """values[index], (n,)."""
    out = room(len(index), values.dtype)
    for part in blocks(len(index)):
        out[part] = values[index[part]]
    return out


def order(keys: Array) -> Array:
    """(N,) int64: the places of whole numbers (N,), the least first and equal ones in order. Sorted a part at a time,
    so that memory does not grow with the rows; the rows of one very common number need no sorting."""
    if len(keys) <= _SORTED:
        return np.argsort(keys, kind="stable")
    sample = np.sort(keys[:: len(keys) // _BLOCK + 1])
    edges = np.unique(sample[:: max(1, len(sample) * _SORTED // (2 * len(keys)))])
    out = Column(np.int64)
    for lowest, beyond in zip([None, *edges], [*edges, None], strict=True):
        if lowest is not None:
            for part in blocks(len(keys)):
                out.extend(np.flatnonzero(keys[part] == lowest) + part.start)
        inside = [np.flatnonzero(_between(keys[part], lowest, beyond)) + part.start for part in blocks(len(keys))]
        rows = np.concatenate(inside)
        out.extend(rows[np.argsort(keys[rows], kind="stable")])
    return out.array()


def _between(keys: Array, lowest: Any, beyond: Any) -> Array:
    """Which lie strictly between; None for no bound on that side."""
    found = np.ones(len(keys), np.bool_) if lowest is None else keys > lowest
    return found if beyond is None else found & (keys < beyond)


class Column:
    """An array (N,) that grows at its end: in memory up to LIMIT, then in a nameless file."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self._parts: list[Array] = []
        self._held = self._length = 0
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        return self._length

    def extend(self, values: Any) -> None:
        """Add values; whole pieces at a time are cheap, single ones are not."""
        part = np.array(values, dtype=self.dtype)
        self._parts.append(part)
        self._held += part.nbytes
        self._length += len(part)
        if self._held > (LIMIT if self._file is None else _PIECE):
            if self._file is None:
                self._file = nameless()
                weakref.finalize(self, self._file.close)
            self._spill(self._file)

    def _spill(self, file: IO[bytes]) -> None:
        for part in self._parts:
            write(file, part.data)
        self._parts, self._held = [], 0

    def array(self) -> Array:
        """All values, once: nothing can be added afterwards. Writing to them is allowed."""
        if self._file is None:
            return np.concatenate(self._parts) if self._parts else np.empty(0, self.dtype)
        self._spill(self._file)
        return mapped(self._file, self.dtype)

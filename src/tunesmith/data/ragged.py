"""Rows of different lengths in one flat array: four bytes a number instead of a Python list for each row.

    flat     [ 5 6 7 | 8 | 9 9 ]     (M,) int32
    offsets  [ 0       3   4     6 ] (N + 1,) int64: row i is flat[offsets[i] : offsets[i + 1]]

Both move into nameless files when they are large (`tunesmith.scratch`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from tunesmith import scratch
from tunesmith.scratch import Column

Ints = NDArray[np.int32]


class Ragged:
    """N rows of whole numbers, read like a list of arrays."""

    def __init__(self, flat: Ints, offsets: NDArray[np.int64]) -> None:
        self.flat, self.offsets = flat, offsets

    @classmethod
    def of(cls, rows: Iterable[Sequence[int]]) -> "Ragged":
        """Made of lists."""
        growing = Growing()
        growing.extend(list(rows))
        return growing.done()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> Ints:
        """One row, (T,): a view."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        return self.flat[self.offsets[row] : self.offsets[row + 1]]

    def __iter__(self) -> Iterator[Ints]:
        return (self[i] for i in range(len(self)))

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Numbers in each row, (N,)."""
        out = scratch.room(len(self), np.int64)
        for part in scratch.blocks(len(self)):
            out[part] = np.diff(self.offsets[part.start : part.stop + 1])
        return out

    @property
    def size(self) -> int:
        """Numbers in all rows."""
        return int(self.offsets[-1] - self.offsets[0])

    def lengths_of(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers in some rows: what a step asks for, without a look at all the others."""
        index = np.asarray(rows, dtype=np.int64)
        return np.asarray(self.offsets[index + 1] - self.offsets[index])

    def joined(self, rows: Sequence[int]) -> Ints:
        """Some rows end to end, in the order asked for."""
        return np.concatenate([self[r] for r in rows])

    def by_twos(self) -> "Ragged":
        """Two neighbours as one row each, over the same numbers: (N / 2) rows of an even number N."""
        assert len(self) % 2 == 0, "an odd number of rows makes no pairs"
        return Ragged(self.flat, self.offsets[::2])

    def only(self, wanted: NDArray[np.bool_]) -> "Ragged":
        """The same rows with some of their numbers: those that are `wanted`, (M,), of the flat array."""
        return Ragged(self.flat[wanted], np.append(0, np.cumsum(wanted))[self.offsets])

    def grouped(self, bounds: NDArray[np.int64]) -> "Ragged":
        """Neighbours bounds[i] to bounds[i + 1] as one row each, over the same numbers."""
        return Ragged(self.flat, self.offsets[bounds])

    def pick(self, rows: Sequence[int]) -> "Ragged":
        """Some rows, in the order asked for."""
        return Ragged.of([self[r].tolist() for r in rows])


class Changed(Ragged):
    """The same rows, some of them with other numbers, as many as before, for whoever reads row by row."""

    def __init__(self, whole: Ragged, rows: Mapping[int, Ints]) -> None:
        super().__init__(whole.flat, whole.offsets)
        self.rows = rows

    def __getitem__(self, row: int) -> Ints:
        return found if (found := self.rows.get(int(row))) is not None else super().__getitem__(row)


class Growing:
    """A ragged array in the making, a piece of rows at a time."""

    def __init__(self) -> None:
        self._flat, self._lengths = Column(np.int32), Column(np.int64)

    @property
    def size(self) -> int:
        """Numbers so far, over all rows."""
        return len(self._flat)

    def extend(self, rows: Sequence[Sequence[int]]) -> None:
        """Add rows."""
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        self._lengths.extend(lengths)
        self._flat.extend(np.fromiter(chain.from_iterable(rows), np.int32, int(lengths.sum())))

    def done(self) -> Ragged:
        """The rows so far; nothing can be added afterwards."""
        offsets = Column(np.int64)
        offsets.extend([0])
        last, lengths = 0, self._lengths.array()
        for part in scratch.blocks(len(lengths)):
            ends = lengths[part].cumsum() + last
            offsets.extend(ends)
            last = int(ends[-1])
        return Ragged(self._flat.array(), offsets.array())

"""Numbers in cells: what is one, what is missing, and which columns hold nothing else."""

import math
import re
from array import array
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from tunesmith import scratch
from tunesmith.data.record import Cell, Record

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_PIECE = 4096


def as_number(value: Cell) -> float | None:
    """The finite number that a cell is or spells (decimal point, no thousands mark); None where it is none."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip(" ")):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def is_missing(value: Cell, words: Collection[str] = ()) -> bool:
    """Whether a cell holds no value: null, blanks, not-a-number, or one of the words that stand for it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return isinstance(value, str) and (not value.strip() or value.strip() in words)


class Growing:
    """Numbers that come one by one; in a file when they are many."""

    def __init__(self) -> None:
        self._column, self._some = scratch.Column(np.float64), array("d")

    def __len__(self) -> int:
        return len(self._column) + len(self._some)

    def add(self, number: float) -> None:
        """One more."""
        self._some.append(number)
        if len(self._some) == _PIECE:
            self._column.extend(self._some)
            self._some = array("d")

    def done(self) -> NDArray[np.float64]:
        """(N,): all of them, once."""
        self._column.extend(self._some)
        return np.asarray(self._column.array())


def numeric(columns: Iterable[str], records: Iterable[Record]) -> dict[str, NDArray[np.float64]]:
    """The values that are there, (N,), of the columns in which each value is a number and one is there."""
    found = {column: Growing() for column in columns}
    for record in records:
        for column in list(found):
            if is_missing(cell := record.cells.get(column)):
                continue
            if (number := as_number(cell)) is None:
                del found[column]
            else:
                found[column].add(number)
    return {column: values.done() for column, values in found.items() if len(values)}


def numbers(column: str, records: Sequence[Record]) -> NDArray[np.float64]:
    """(N,): the number of each row, NaN where it has none."""
    read = (as_number(record.cells.get(column)) for record in records)
    return scratch.filled((math.nan if number is None else number for number in read), len(records), np.float64)

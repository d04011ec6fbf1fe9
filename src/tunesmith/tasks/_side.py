"""Side columns as numbers: standardised, a place for each category, and a mark where a number is missing.

    pressure 2.3   line B        ->   (2.3 - mean) / std          A 0  B 1  ''  0     pressure missing 0
    pressure ''    line ''       ->   (fill - mean) / std         A 0  B 0  ''  1     pressure missing 1

Mean, deviation and fill are those of the training rows that have a number; a column gets a mark where one of them has
none, as in scikit-learn's SimpleImputer(add_indicator=True). A missing category is a category of its own.

Shape letters: N rows, S side features.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tunesmith.data import Record
from tunesmith.data.format import excerpt
from tunesmith.data.numbers import Growing, as_number, is_missing
from tunesmith.data.record import Cell
from tunesmith.data.roles import number_of
from tunesmith.tasks import Array, Facts, SideFacts

if TYPE_CHECKING:
    from tunesmith.tasks._text import TextTask

_MOSTLY = 0.5


def objection(task: "TextTask") -> str | None:
    """What is said of side columns without effect; None for nothing."""
    idle = next((name for name in ("impute", "missing") if task.differs(name)), None)
    if idle is None or task.vector:
        return None
    return f"{idle} has no effect unless side: vector and side_columns: a text shows an empty cell as it is"


def with_side(task: "TextTask", records: Sequence[Record], facts: Facts) -> Facts:
    """Facts with those of the side columns over the training rows, and notes on them."""
    if not task.vector:
        return facts
    side, notes = SideFacts(), dict(facts.notes)
    for column in task.side_columns:
        values, absent, odd = _walked(task, column, records)
        if odd is None:
            side, told = _number(task, column, side, values.done(), absent)
        else:
            known = {_category(r.cells.get(column), task.missing) for r in records}
            side = side.model_copy(update={"categories": side.categories | {column: tuple(sorted(known))}})
            told = _doubt(column, odd, len(values), len(records) - absent)
        notes |= {f"side column {column}": told} if told else {}
    return facts.model_copy(update={"side": side, "notes": notes})


def _walked(task: "TextTask", column: str, records: Sequence[Record]) -> tuple[Growing, int, Cell]:
    """(numbers of the rows that have one, rows that have no value, the first value that is no number)."""
    values, absent, odd = Growing(), 0, None
    for record in records:
        cell = record.cells.get(column)
        if is_missing(cell, task.missing):
            absent += 1
        elif (number := as_number(cell)) is not None:
            values.add(number)
        else:
            odd = cell if odd is None else odd
    return values, absent, odd


def _number(task: "TextTask", column: str, side: SideFacts, values: Array, absent: int) -> tuple[SideFacts, str]:
    mean, std = (float(values.mean()), float(values.std())) if len(values) else (0.0, 1.0)
    fill = float(np.median(values)) if task.impute == "median" and len(values) else mean
    added = {"numbers": side.numbers | {column: (mean, std or 1.0)}, "fills": side.fills | {column: fill}}
    if not absent:
        return side.model_copy(update=added), ""
    told = f"{absent} of {absent + len(values)} training rows have no number: read as the {task.impute}, {fill:.6g}, "
    marks = {"marks": (*side.marks, column)}
    return side.model_copy(update=added | marks), told + "with a mark that it was missing"


def _doubt(column: str, odd: Cell, num: int, filled: int) -> str:
    """What to tell of a column that is read as categories though most of it is numbers."""
    if num < _MOSTLY * filled:
        return ""
    return (
        f"{num} of {filled} values are numbers and '{excerpt(str(odd))}' is not, so that each value is a category of "
        f"its own. If it stands for no value, name it: task.missing: ['{excerpt(str(odd))}']"
    )


def _category(cell: Cell, words: Sequence[str]) -> str:
    return "" if is_missing(cell, words) else str(cell)


def side_vectors(records: Sequence[Record], facts: SideFacts, missing: Sequence[str] = ()) -> Array:
    """(N, S) float32: standardised numbers, a place for each category, marks; `missing`: words for no value."""
    out = np.zeros((len(records), facts.width), dtype=np.float32)
    for i, record in enumerate(records):
        place = 0
        for column, (mean, std) in facts.numbers.items():
            absent = is_missing(record.cells.get(column), missing)
            value = facts.fills.get(column, mean) if absent else number_of(record, column)
            out[i, place] = (value - mean) / std
            place += 1
        for column, known in facts.categories.items():
            value_is = _category(record.cells.get(column), missing)
            if value_is in known:
                out[i, place + known.index(value_is)] = 1.0
            place += len(known)
        for column in facts.marks:
            out[i, place] = float(is_missing(record.cells.get(column), missing))
            place += 1
    return out

"""Is the first row of a table its header? Told only when the evidence points one way."""

import re
from collections.abc import Sequence
from itertools import islice

from tunesmith.data.names import KNOWN, plain

_NUMBER = re.compile(r"\s*[+-]?(\d+([.,]\d+)*|\.\d+)([eE][+-]?\d+)?%?\s*", re.ASCII)
_DATE = re.compile(r"\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*", re.ASCII)
_WORDS = re.compile(r"[^\W\d][\w .\-/()#%?]*")
_NAME = re.compile(r"[^\W\d][\w\-]*")
_LONGEST_NAME, _MOST_WORDS = 40, 5
LOOKED_AT = 1000


def is_header(first: Sequence[str], rest: Sequence[Sequence[str]]) -> tuple[bool | None, str]:
    """True, False, or None when in doubt; and the evidence, as a clause."""
    sample = [row for row in islice(rest, LOOKED_AT) if len(row) == len(first)]
    columns = list(zip(*sample, strict=True)) if sample else [()] * len(first)
    data, header = _speaks_for_data(first, columns), _speaks_for_header(first, columns)
    if all(plain(cell) in KNOWN for cell in first):
        return True, "every cell of the first row is a usual column name"
    if data and header:
        return None, f"{header}, but {data}"
    if data:
        return False, data
    return (True, header) if header else (None, "the first row could be names or data")


def _speaks_for_data(first: Sequence[str], columns: Sequence[Sequence[str]]) -> str:
    for number, (cell, below) in enumerate(zip(first, columns, strict=True), 1):
        if below and cell and cell in below:
            return f"cell {number} of the first row occurs again below it"
        if _is_value(cell) and below and all(_is_value(c) or not c for c in below):
            return f"cell {number} of the first row is a number or a date, like those below it"
        if len(cell) > 2 * _LONGEST_NAME or "\n" in cell:
            return f"cell {number} of the first row is too long for a name"
    return ""


def _speaks_for_header(first: Sequence[str], columns: Sequence[Sequence[str]]) -> str:
    for cell in first:
        if plain(cell) in KNOWN:
            return f"the first row holds the usual column name '{cell.strip()}'"
    if first and not first[0] and columns[0] and list(columns[0]) == [str(i) for i in range(len(columns[0]))]:
        return "column 1 counts the rows and has no name"
    if not all(_could_be_name(cell.strip()) for cell in first):
        return ""
    for number, (cell, below) in enumerate(zip(first, columns, strict=True), 1):
        if below and all(_is_value(c) or not c for c in below) and any(below):
            return f"column {number} holds numbers or dates below a word"
        if below and _NAME.fullmatch(cell.strip()) and sum(map(len, below)) > len(below) * max(20, 4 * len(cell)):
            return f"column {number} holds long texts below a single word"
    return ""


def _could_be_name(cell: str) -> bool:
    few = len(cell) <= _LONGEST_NAME and cell.count(" ") < _MOST_WORDS and not cell.endswith(".")
    return few and bool(_WORDS.fullmatch(cell))


def _is_value(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell) or _DATE.fullmatch(cell))

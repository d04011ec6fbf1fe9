"""Which column is the text and which the label, when that is plain; and cells by role, or an error with its place."""

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from tunesmith.data.format import Table, excerpt, find_column, listed
from tunesmith.data.names import LABELS, TEXTS, plain
from tunesmith.data.numbers import as_number
from tunesmith.data.record import Cell, Record, Roles
from tunesmith.errors import TunesmithError

__all__ = ["find_column", "in_columns", "infer_label", "infer_text", "label_of", "labels_of", "number_of", "text_of"]

_LOOKED_AT = 5000
_WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]")


def infer_text(columns: Sequence[str], table: Table) -> str:
    """The column that holds the text, among some columns of a table; refused with the candidates when in doubt."""
    return _infer("text", TEXTS, columns, table)


def infer_label(columns: Sequence[str], table: Table) -> str:
    """The column that holds the label, among some columns of a table; refused with the candidates when in doubt."""
    return _infer("label", LABELS, columns, table)


def _infer(role: str, usual: frozenset[str], columns: Sequence[str], table: Table) -> str:
    if role in columns:
        return role
    named = [c for c in columns if plain(c) in usual]
    if len(named) == 1:
        return named[0]
    fits = _reads_like_text if role == "text" else _reads_like_label
    candidates = named or [c for c in columns if fits([cells[c] for _, cells in table.rows[:_LOOKED_AT]])]
    if len(candidates) == 1:
        return candidates[0]
    found = f"{len(candidates)} columns could be it: {listed(candidates)}" if candidates else "no column looks like it"
    raise TunesmithError(
        f"{table.source}: cannot tell which column is the {role}: {found}. "
        f"Name it: task: {{{role}: COLUMN}}. Columns: {listed(columns)}"
    )


def _reads_like_text(cells: Sequence[Cell]) -> bool:
    """Long, varied strings of several words (or of Chinese, which has no spaces)."""
    texts = [c for c in cells if isinstance(c, str) and c.strip()]
    if len(texts) * 2 < len(cells) or not texts or len(set(texts)) * 2 < len(texts):
        return False
    wordy = sum(" " in t.strip() or len(_WIDE.findall(t)) > 3 for t in texts)
    return wordy * 2 > len(texts)


def _reads_like_label(cells: Sequence[Cell]) -> bool:
    """Short values, few of them, most of them seen again."""
    values = [str(c) for c in cells if isinstance(c, str | int) and str(c).strip()]
    kinds = len(set(values))
    return len(values) == len(cells) > 2 and 2 <= kinds <= max(2, len(values) // 2) and max(map(len, values)) <= 60


def text_of(record: Record, column: str) -> str:
    """The text of a row, as it is; empty is allowed, missing is not."""
    value = _cell(record, column)
    if isinstance(value, str):
        return value
    raise _wrong(record, column, "not a text", value, "Write a string, or leave the row out")


def in_columns(record: Record, roles: Roles, put: Callable[[str], str]) -> dict[str, Cell]:
    """The text columns of a row that come out other when their texts are `put` otherwise."""
    texts = {column: text_of(record, column) for column in (() if roles.wordless else roles.texts)}
    return {column: after for column, text in texts.items() if (after := put(text)) != text}


def label_of(record: Record, column: str) -> str:
    """The label of a row. Text stays as it is ("001", " 1"); 1 is "1", 1.0 is "1.0", true is "true"."""
    return _as_label(record, column, _cell(record, column))


def labels_of(record: Record, column: str, separator: str | None = None) -> tuple[str, ...]:
    """The label set of a row, in order, each once: a list, or text split at the separator, or a JSON list in text.

    An empty list and an empty text are the empty set; null is refused because unknown is not none.
    """
    value = _cell(record, column)
    if isinstance(value, str):
        value = _split_labels(record, column, value, separator)
    if not isinstance(value, list):
        raise _wrong(record, column, "not a list of labels", value, 'Write ["a", "b"], or a text and its separator')
    return tuple(dict.fromkeys(_as_label(record, column, item) for item in value))


def _split_labels(record: Record, column: str, text: str, separator: str | None) -> Any:
    if not text.strip():
        return []
    if separator is not None:
        return [part.strip() for part in text.split(separator)]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _wrong(record, column, "not a JSON list of labels", text, "Say what separates the labels") from None


def number_of(record: Record, column: str) -> float:
    """The number of a row; text must spell a finite decimal number, with a point."""
    value = _cell(record, column)
    if (number := as_number(value)) is not None:
        return number
    remedy = "Write a finite number such as -3.2 (decimal point, no thousands mark)"
    raise _wrong(record, column, "not a finite number", value, remedy)


def _cell(record: Record, column: str) -> Cell:
    if column not in record.cells:
        find_column(column, list(record.cells), f"{record.source}:{record.line}")
    return record.cells[column]


def _as_label(record: Record, column: str, value: Cell) -> str:
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    what = "the label is empty" if value is None or isinstance(value, str) else "not a label"
    raise _wrong(record, column, what, value, "Write a text or a number, or leave the row out")


def _wrong(record: Record, column: str, what: str, value: Cell, remedy: str) -> TunesmithError:
    place = record.place
    shown = value if isinstance(value, str) else f"{value!r}"[:200]
    return TunesmithError(f"{place}: column '{excerpt(column)}': {what}: '{excerpt(shown)}'. {remedy}")

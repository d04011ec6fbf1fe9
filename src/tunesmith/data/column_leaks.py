"""Columns beside text and label that stand on both sides of a split as they would not in use: dates and groups."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from tunesmith.data.drift import COUNTED, evenly
from tunesmith.data.record import Record, Roles

_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True)
class ColumnLeak:
    """A column beside text and label that stands on both sides of a split as it would not in use."""

    split: str
    column: str
    what: Literal["time", "group"]
    rows: int
    """time: held-out rows that lie before the last training row; group: those whose value training rows have, too."""
    of: int
    """Held-out rows with a value."""
    shown: tuple[str, ...]
    """time: the last training date and the first held-out one; group: up to five of the values."""


def time_leak(split: str, train: Sequence[Record], held: Sequence[Record], column: str) -> ColumnLeak | None:
    """Held-out rows from before the end of training: in use, a model never knows the future. None where the column
    holds no dates (ISO 8601, or with slashes) or all held-out rows are later."""
    dates = [[day for row in rows if (day := _date(row.cells.get(column)))] for rows in (train, held)]
    if any(len(found) < 0.9 * max(1, len(rows)) for found, rows in zip(dates, (train, held), strict=True)):
        return None
    last, first = max(dates[0]), min(dates[1])
    early = sum(day < last for day in dates[1])
    shown = (last.date().isoformat(), first.date().isoformat())
    return ColumnLeak(split, column, "time", early, len(dates[1]), shown) if early else None


def _date(value: Any) -> datetime | None:
    if not isinstance(value, str) or not re.match(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}", value.strip()):
        return None
    day, *rest = re.split(r"(?=[T ])", value.strip().replace("/", "-"), maxsplit=1)
    try:
        found = datetime.fromisoformat("-".join(part.zfill(2) for part in day.split("-")) + "".join(rest))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def group_leak(split: str, train: Sequence[Record], held: Sequence[Record], column: str) -> ColumnLeak | None:
    """Values of an identifier (machine, customer, document) on both sides. None where none is shared, or where the
    column is no identifier: it holds quantities or sentences, names fewer than 10 things, or hardly any of them twice,
    or each 50 times and more."""
    here, values = (_filled(rows, column) for rows in (train, held))
    counts, known = Counter(here) + Counter(values), set(here)
    repeated = sum(count for count in counts.values() if count > 1)
    if _measures(counts) or _tells(counts):
        return None
    if len(counts) < 10 or repeated < 0.2 * counts.total() or counts.total() / len(counts) > 50:
        return None
    both = Counter(value for value in values if value in known)
    shown = tuple(name for name, _ in both.most_common(5))
    return ColumnLeak(split, column, "group", both.total(), len(values), shown) if both else None


def _measures(values: Iterable[str]) -> bool:
    """Whether they are numbers, some with decimals: hours or a pressure, and nobody's name."""
    found = list(values)
    return all(_NUMBER.fullmatch(value) for value in found) and any("." in value for value in found)


def _tells(values: Iterable[str]) -> bool:
    """Whether most of them are sentences, of more than six words."""
    lengths = [len(value.split()) for value in values]
    return sum(length > 6 for length in lengths) > len(lengths) / 2


def _filled(rows: Sequence[Record], column: str) -> list[str]:
    return [str(value) for row in rows if (value := row.cells.get(column)) not in (None, "")]


def column_leaks(train: Sequence[Record], held: Mapping[str, Sequence[Record]], roles: Roles) -> list[ColumnLeak]:
    """Time and group leaks of all columns that are neither text, label, task nor file; in at most 100,000 rows a split,
    evenly taken."""
    taken = {*roles.texts, roles.label, roles.file, roles.task}
    columns = [name for name in (train[0].cells if train else ()) if name not in taken]
    known, some = evenly(train, COUNTED), {split: evenly(rows, COUNTED) for split, rows in held.items()}
    found = [look(split, known, rows, name) for split, rows in some.items() for name in columns
             for look in (time_leak, group_leak)]  # fmt: skip
    return [each for each in found if each is not None]

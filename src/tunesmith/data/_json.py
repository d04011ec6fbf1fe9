"""JSON Lines, and rules for all JSON: no duplicate keys, no NaN, no lone surrogates, every row with the same keys."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isinf
from typing import Any, NamedTuple

from tunesmith.data._content import Text
from tunesmith.data._text import Parsed
from tunesmith.data.format import BadRows, Format, excerpt, find_column, listed, refusal
from tunesmith.data.stored import Line, table_rows
from tunesmith.errors import TunesmithError

MAX_DEPTH = 64
SUSPECT = re.compile(r"\\u(0000|[dD][89a-fA-F])|\0")
_KINDS = {str: "text", int: "a number", float: "a number", bool: "true/false", list: "a list", dict: "an object"}


class _NotJsonError(ValueError):
    """Valid for Python's json, and still not JSON as we read it."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise _NotJsonError(f"the key '{excerpt(twice)}' occurs twice")
    return found


def _constant(name: str) -> Any:
    raise _NotJsonError(f"{name} is not JSON; write null or a number")


def _float(digits: str) -> float:
    value = float(digits)
    if isinf(value):
        raise _NotJsonError(f"{excerpt(digits)} is beyond the range of a number")
    return value


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)


class Found(NamedTuple):
    """A row of JSON: its number and line, and its object, or what is wrong with it."""

    row: int
    line: int
    column: int
    value: Any
    fault: str = ""
    shown: str = ""


def read_lines(text: Text, form: Format, bad: BadRows) -> Parsed:
    """JSON Lines: one object a line; blank lines are skipped."""
    suspect = any(("\\u" in line or "\0" in line) and SUSPECT.search(line) for line in text.lines("\n"))
    return to_table(_Lines(text), form, bad, suspect)


@dataclass(frozen=True)
class _Lines:
    """The rows of JSON Lines, parsed anew at each walk."""

    text: Text

    def __iter__(self) -> Iterator[Found]:
        lines = ((n, line.removesuffix("\n")) for n, line in enumerate(self.text.lines("\n"), 1))
        full = ((n, line) for n, line in lines if line.strip(" \t\r"))
        row, held = 0, next(full, None)
        while held is not None:
            row, following = row + 1, next(full, None)
            yield _line(row, *held, following is None)
            held = following


def _line(row: int, number: int, line: str, last: bool) -> Found:
    try:
        value = DECODER.decode(line)
    except json.JSONDecodeError as error:
        return Found(row, number, error.pos + 1, None, _why(line, error, last), excerpt(line, error.pos))
    except (ValueError, RecursionError) as error:
        return Found(row, number, 1, None, reason(error), excerpt(line))
    return Found(row, number, 1, value, shown=excerpt(line) if not isinstance(value, dict) else "")


def _why(line: str, error: json.JSONDecodeError, last: bool) -> str:
    start = line.lstrip()
    if start.startswith(("//", "#", "/*")):
        return "JSON has no comments"
    if error.msg == "Extra data" and line[error.pos :].strip() == ",":
        return "a comma follows the object; JSON Lines has none between lines"
    cut = last and (error.pos >= len(line.rstrip()) - 1 or error.msg.startswith("Unterminated"))
    return f"not JSON ({error.msg})" + ("; the last line looks cut off" if cut else "")


def reason(error: Exception) -> str:
    """What was wrong, of an error of the decoder."""
    if isinstance(error, RecursionError):
        return f"nested deeper than {MAX_DEPTH} levels"
    return str(error).split(";", maxsplit=1)[0] if "digit" in str(error) else str(error)


def to_table(found: Iterable[Found], form: Format, bad: BadRows, suspect: bool) -> Parsed:
    """Rows with the same keys and one kind of value in a column; `suspect`: look for characters that are none.

    `found` is walked over twice: what is usual must be known before a row can be odd.
    """
    seen = _Seen(found)
    if seen.first is None:
        raise TunesmithError(f"{bad.source}:1:1: the file holds no rows. Name a file with data")
    columns, optional, notes = _keys(seen, form, bad.source)
    if strange := [column for column in columns if suspect and _unreadable(column)]:
        raise refusal(f"{bad.source}:{seen.first.line}:1", "a key holds no real characters", strange[0], "Rename it")
    required, wanted = [c for c in columns if c not in optional], set(columns)
    kinds = {c: seen.usual_kind(c) for c in columns}

    def good() -> Iterator[Line]:
        for item in found:
            told = _wrong(item, required, wanted if form.columns is None else None) or _odd(item.value, kinds, suspect)
            if told:
                shown = item.shown or json.dumps(item.value, ensure_ascii=True, default=str)
                bad.meet(item.row, f"{item.line}:{item.column}", told[0], shown, told[1])
            elif len(item.value) == len(columns) and not optional:
                yield item.line, {c: item.value[c] for c in columns}
            else:
                yield item.line, {c: item.value.get(c) for c in columns}

    rows = table_rows(good(), bad.tick)
    return Parsed(tuple(columns), rows, notes)


class _Seen:
    """What the objects of a file have in common: keys, sets of keys, kinds of values by key."""

    def __init__(self, found: Iterable[Found]) -> None:
        self.first: Found | None = None
        self.sets: Counter[tuple[str, ...]] = Counter()
        self._kinds: dict[str, Counter[str]] = {}
        for item in found:
            self.first = self.first or item
            if not item.fault and isinstance(item.value, dict):
                self.sets[tuple(item.value)] += 1
                for key, value in item.value.items():
                    kinds = self._kinds.setdefault(key, Counter())
                    if value is not None:
                        kinds[_KINDS[type(value)]] += 1

    @property
    def keys(self) -> list[str]:
        """All keys, in the order in which they were first seen."""
        return list(self._kinds)

    @property
    def common(self) -> frozenset[str]:
        """The most common set of keys."""
        sets: Counter[frozenset[str]] = Counter()
        for names, times in self.sets.items():
            sets[frozenset(names)] += times
        return sets.most_common(1)[0][0] if sets else frozenset()

    def usual_kind(self, key: str) -> str | None:
        """The most common kind of value below a key; None where there is none."""
        kinds = self._kinds.get(key)
        return kinds.most_common(1)[0][0] if kinds else None


def _keys(seen: _Seen, form: Format, source: str) -> tuple[list[str], set[str], list[str]]:
    """The columns, those that may be missing, and notes. Without `columns` the most common set of keys is the rule."""
    if form.columns is None:
        common = seen.common
        return [key for key in seen.keys if key in common], set(), []
    columns, optional = [], set()
    for name in form.columns:
        may_miss = name not in seen.keys and name.endswith("?")
        found = find_column(name.removesuffix("?") if may_miss else name, seen.keys, source)
        columns.append(found)
        optional |= {found} if may_miss else set()
    left_out = [key for key in seen.keys if key not in columns]
    return columns, optional, [f"keys not read: {listed(left_out)}"] * bool(left_out)


def _wrong(item: Found, required: list[str], allowed: set[str] | None) -> tuple[str, str] | None:
    if item.fault:
        return item.fault, "Repair the line"
    if isinstance(item.value, dict) and item.value.keys() == allowed:
        return None
    if not isinstance(item.value, dict):
        return f"a row is an object, this is {_KINDS.get(type(item.value), 'null')}", 'Write {"column": value, …}'
    if missing := [key for key in required if key not in item.value]:
        remedy = f"Add it (null is allowed), or read it as optional: data.format.columns: ['{excerpt(missing[0])}?', …]"
        return f"the key {listed(missing)} is missing", remedy
    if allowed is not None and (extra := [key for key in item.value if key not in allowed]):
        return f"the key {listed(extra)} is not in the other rows", "Remove it, or choose keys: data.format.columns"
    return None


def _odd(row: dict[str, Any], kinds: dict[str, str | None], suspect: bool) -> tuple[str, str] | None:
    for key, usual in kinds.items():
        value = row.get(key)
        if value is None:
            continue
        if (kind := _KINDS[type(value)]) != usual:
            return f"'{excerpt(key)}' is {kind} here and {usual} in most rows", "Write one kind of value in a column"
        if isinstance(value, list | dict) and _too_deep(value):
            return f"'{excerpt(key)}' is nested deeper than {MAX_DEPTH} levels", "Flatten it"
        if suspect and any(_unreadable(text) for text in _texts(value)):
            return f"'{excerpt(key)}' holds a NUL or half a surrogate pair", "Remove it; it is no character"
    return None


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [v for x in level for v in (x.values() if isinstance(x, dict) else x) if isinstance(v, list | dict)]
        if not level:
            return False
    return True


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
        if isinstance(value, dict):
            yield from value


def _unreadable(text: str) -> bool:
    return "\0" in text or any("\ud800" <= c <= "\udfff" for c in text)

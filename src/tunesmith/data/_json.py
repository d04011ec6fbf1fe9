"""JSON and JSON Lines, strictly: no duplicate keys, no NaN, no lone surrogates, every row with the same keys."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from math import isinf
from typing import Any, NamedTuple

from tunesmith.data._delimited import position
from tunesmith.data._text import Parsed
from tunesmith.data.format import BadRows, Format, excerpt, find_column, listed, refusal
from tunesmith.errors import TunesmithError

MAX_DEPTH = 64
_SPACE = re.compile(r"[ \t\r\n]*")
_SUSPECT = re.compile(r"\\u(0000|[dD][89a-fA-F])|\0")
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


def read_lines(text: str, form: Format, bad: BadRows) -> Parsed:
    """JSON Lines: one object a line; blank lines are skipped."""
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip(" \t\r")]
    found = [_line(row, n, line, row == len(lines)) for row, (n, line) in enumerate(lines, 1)]
    return to_table(found, form, bad, bool(_SUSPECT.search(text)))


def _line(row: int, number: int, line: str, last: bool) -> Found:
    try:
        value = DECODER.decode(line)
    except json.JSONDecodeError as error:
        return Found(row, number, error.pos + 1, None, _why(line, error, last), excerpt(line, error.pos))
    except (ValueError, RecursionError) as error:
        return Found(row, number, 1, None, _reason(error), excerpt(line))
    return Found(row, number, 1, value, shown=excerpt(line) if not isinstance(value, dict) else "")


def _why(line: str, error: json.JSONDecodeError, last: bool) -> str:
    start = line.lstrip()
    if start.startswith(("//", "#", "/*")):
        return "JSON has no comments"
    if error.msg == "Extra data" and line[error.pos :].strip() == ",":
        return "a comma follows the object; JSON Lines has none between lines"
    cut = last and (error.pos >= len(line.rstrip()) - 1 or error.msg.startswith("Unterminated"))
    return f"not JSON ({error.msg})" + ("; the last line looks cut off" if cut else "")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"nested deeper than {MAX_DEPTH} levels"
    return str(error).split(";", maxsplit=1)[0] if "digit" in str(error) else str(error)


def read_document(text: str, form: Format, bad: BadRows) -> Parsed:
    """One JSON document: an array of objects, an object of columns, or an object that wraps one such array."""
    start = _skip(text, 0)
    if text[start : start + 1] == "[":
        found, notes = _array(text, start, bad.source), list[str]()
    elif text[start : start + 1] == "{":
        found, notes = _from_object(text, start, bad.source)
    else:
        raise _document_error(text, start, bad.source, "a JSON document begins with [ or {")
    table = to_table(found, form, bad, bool(_SUSPECT.search(text)))
    table.notes[:0] = notes
    return table


def _array(text: str, start: int, source: str) -> list[Found]:
    found, end = _elements(text, start, source)
    rest = _skip(text, end)
    if rest < len(text):
        raise _document_error(text, rest, source, "something follows the end of the JSON document")
    return found


def _elements(text: str, start: int, source: str) -> tuple[list[Found], int]:
    """The elements of the array at `start` with their lines, and where the array ends."""
    found: list[Found] = []
    at, line, counted = _skip(text, start + 1), text.count("\n", 0, start) + 1, start
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        value, end = _value(text, at, source)
        found.append(Found(len(found) + 1, line, at - text.rfind("\n", 0, at), value))
        end = _skip(text, end)
        if text[end : end + 1] not in {",", "]"}:
            raise _document_error(text, end, source, "expected , or ] after an element" + _cut(text, end))
        at = _skip(text, end + 1) if text[end] == "," else end
        if text[end] == "," and text[at : at + 1] == "]":
            raise _document_error(text, end, source, "a comma follows the last element")
    return found, at + 1


def _value(text: str, at: int, source: str) -> tuple[Any, int]:
    try:
        return DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        raise _document_error(text, error.pos, source, f"not JSON ({error.msg}){_cut(text, error.pos)}") from error
    except (ValueError, RecursionError) as error:
        raise _document_error(text, at, source, _reason(error)) from error


def _cut(text: str, at: int) -> str:
    return "; the file looks cut off" if at >= len(text.rstrip()) - 1 else ""


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()


def _document_error(text: str, at: int, source: str, what: str) -> TunesmithError:
    line, column = position(text, at)
    shown = text[max(0, at - 40) : at + 40]
    return refusal(f"{source}:{line}:{column}", what, shown, "Repair the file there; a JSON document is all or nothing")


def _from_object(text: str, start: int, source: str) -> tuple[list[Found], list[str]]:
    whole, end = _value(text, start, source)
    rest = _skip(text, end)
    if rest < len(text):
        raise _document_error(text, rest, source, "something follows the end of the JSON document")
    lists = {key: value for key, value in whole.items() if isinstance(value, list)}
    wrapped = [key for key, value in lists.items() if value and all(isinstance(v, dict) for v in value)]
    if len(wrapped) == 1 and len(lists) == 1:
        others = [key for key in whole if key != wrapped[0]]
        told = [f"rows taken from the key '{excerpt(wrapped[0])}'"]
        told += [f"keys beside it not read: {listed(others)}"] * bool(others)
        return _elements(text, _find_array(text, start, wrapped[0], source), source)[0], told
    if whole and len(lists) == len(whole) and len({len(value) for value in lists.values()}) == 1 and not wrapped:
        rows = [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
        return [Found(i, 1, 1, row) for i, row in enumerate(rows, 1)], ["an object of columns"]
    raise refusal(
        f"{source}:1:1",
        "an object that is neither columns of one length nor one list of rows",
        text[start : start + 80],
        f"Write an array of objects, one a row. Keys found: {listed(whole)}",
    )


def _find_array(text: str, start: int, wanted: str, source: str) -> int:
    """Where the array of a key begins, found by walking over the keys before it."""
    at = _skip(text, start + 1)
    while True:
        key, end = _value(text, at, source)
        at = _skip(text, _skip(text, end) + 1)  # over the colon
        if key == wanted:
            return at
        at = _skip(text, _skip(text, _value(text, at, source)[1]) + 1)  # over the value and its comma


def to_table(found: list[Found], form: Format, bad: BadRows, suspect: bool) -> Parsed:
    """Rows with the same keys and one kind of value in a column; `suspect`: look for characters that are none."""
    if not found:
        raise TunesmithError(f"{bad.source}:1:1: the file holds no rows. Name a file with data")
    objects = [f for f in found if not f.fault and isinstance(f.value, dict)]
    columns, optional, notes = _keys(objects, form, bad.source)
    if strange := [column for column in columns if suspect and _unreadable(column)]:
        raise refusal(f"{bad.source}:{found[0].line}:1", "a key holds no real characters", strange[0], "Rename it")
    required, wanted = [c for c in columns if c not in optional], set(columns)
    kinds = {c: _usual_kind([f.value.get(c) for f in objects]) for c in columns}
    rows = []
    for item in found:
        told = _wrong(item, required, wanted if form.columns is None else None) or _odd(item.value, kinds, suspect)
        if told:
            shown = item.shown or json.dumps(item.value, ensure_ascii=True, default=str)
            bad.meet(item.row, f"{item.line}:{item.column}", told[0], shown, told[1])
        elif len(item.value) == len(columns) and not optional:
            rows.append((item.line, {c: item.value[c] for c in columns}))
        else:
            rows.append((item.line, {c: item.value.get(c) for c in columns}))
    return Parsed(tuple(columns), rows, notes)


def _keys(objects: list[Found], form: Format, source: str) -> tuple[list[str], set[str], list[str]]:
    """The columns, those that may be missing, and notes. Without `columns` the most common set of keys is the rule."""
    seen = dict.fromkeys(key for item in objects for key in item.value)
    if form.columns is None:
        common = Counter(frozenset(item.value) for item in objects).most_common(1)
        return [key for key in seen if common and key in common[0][0]], set(), []
    columns, optional = [], set()
    for name in form.columns:
        may_miss = name not in seen and name.endswith("?")
        found = find_column(name.removesuffix("?") if may_miss else name, list(seen), source)
        columns.append(found)
        optional |= {found} if may_miss else set()
    left_out = [key for key in seen if key not in columns]
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


def _usual_kind(values: list[Any]) -> str | None:
    kinds = Counter(_KINDS[type(v)] for v in values if v is not None)
    return kinds.most_common(1)[0][0] if kinds else None


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

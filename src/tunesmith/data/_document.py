"""One JSON document, which is read whole: an array of objects, columns, or an object that wraps one array."""

import json
import re
from typing import Any

from tunesmith.data._content import Text
from tunesmith.data._delimited import position
from tunesmith.data._json import DECODER, SUSPECT, Found, reason, to_table
from tunesmith.data._text import Parsed
from tunesmith.data.format import BadRows, Format, excerpt, listed, refusal
from tunesmith.errors import TunesmithError

_SPACE = re.compile(r"[ \t\r\n]*")


def read(document: Text, form: Format, bad: BadRows) -> Parsed:
    """One JSON document: an array of objects, an object of columns, or an object that wraps one such array."""
    text = document.whole(bad.source)
    start = _skip(text, 0)
    if text[start : start + 1] == "[":
        found, notes = _array(text, start, bad.source), list[str]()
    elif text[start : start + 1] == "{":
        found, notes = _from_object(text, start, bad.source)
    else:
        raise _document_error(text, start, bad.source, "a JSON document begins with [ or {")
    table = to_table(found, form, bad, bool(SUSPECT.search(text)))
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
        raise _document_error(text, at, source, reason(error)) from error


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

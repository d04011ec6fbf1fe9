"""The texts of a conversation, put otherwise where they stand in the cells of their row.

What says who speaks, which tool is called and which tools there are stays; what a tool is called with is rewritten, and
stays JSON. The conversation is then read anew, so that everything made of it (tokens, what is learnt) follows.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from tunesmith.data.record import Cell
from tunesmith.dialogue._columns import Columns
from tunesmith.dialogue._reading import unpacked

Put = Callable[[str], str]
_NAMES = frozenset({"id", "name", "tool_call_id", "type"})


def rewritten(cells: Mapping[str, Cell], columns: Columns, further: Sequence[str], put: Put) -> dict[str, Cell]:
    """The cells that come out other; texts are put in the order in which they are read. `further`: columns of texts
    beside those that `columns` names."""
    parts = (columns.system, columns.history, columns.prompt, columns.query, columns.messages, columns.response)
    found: dict[str, Cell] = {}
    for column in dict.fromkeys((*parts, columns.chosen, columns.rejected, *further)):
        before = cells.get(column)
        after = before if before is None else _cell(before, columns, put)
        if after != before:
            found[column] = after
    return found


def _cell(before: Cell, columns: Columns, put: Put) -> Cell:
    """Messages or turns are looked into, even where they stand as JSON in a text; other texts are put as they are."""
    value = unpacked(before)
    listed = isinstance(value, list) and bool(value) and all(isinstance(each, dict | list) for each in value)
    if not listed and not (isinstance(value, dict) and columns.role_tag in value):
        return cast("Cell", _walked(before, put, frozenset()))
    after: Cell = _messages(value, columns, put)
    if after == value:
        return before
    return json.dumps(after, ensure_ascii=False) if isinstance(before, str) else after


def _messages(value: Any, columns: Columns, put: Put) -> Any:
    if isinstance(value, list):
        return [_messages(each, columns, put) for each in value]
    if not isinstance(value, dict):
        return _walked(value, put, frozenset())
    calls = value.get(columns.role_tag) == columns.function_tag
    return {
        key: _json(each, put, _NAMES) if calls and key == columns.content_tag
        else each if key == columns.role_tag else _walked(each, put, _NAMES) if key not in _NAMES else each
        for key, each in value.items()
    }  # fmt: skip


def _walked(value: Any, put: Put, held: frozenset[str]) -> Any:
    """With every text in it put, but those under the keys `held`; arguments of a call have keys of their own."""
    if isinstance(value, str):
        return put(value)
    if isinstance(value, list):
        return [_walked(each, put, held) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: each if key in held else _json(each, put, frozenset()) if held and key == "arguments"
        else _walked(each, put, held) for key, each in value.items()
    }  # fmt: skip


def _json(value: Any, put: Put, held: frozenset[str]) -> Any:
    """What may be JSON in a text stays JSON, and stays as it was written where nothing in it changes."""
    read = unpacked(value)
    after = _walked(read, put, held)
    if after == read:
        return value
    return json.dumps(after, ensure_ascii=False) if isinstance(value, str) and not isinstance(read, str) else after

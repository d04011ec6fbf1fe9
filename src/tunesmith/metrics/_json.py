"""JSON texts as fields: each leaf with the path to it, so that two texts can be compared field by field."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

Field = tuple[tuple[str | int, ...], str, Any]
"""(keys and places down to a leaf, its JSON type, its value)."""

_TYPES = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}


def parsed(text: str) -> tuple[Any] | None:
    """(the value,) of a text that is JSON by RFC 8259, else None. A tuple, since null is a value."""
    try:
        return (json.loads(text, parse_constant=_refuse),)
    except (ValueError, RecursionError):  # bad syntax, a number of thousands of digits, nesting without end
        return None


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def fields(value: Any) -> Counter[Field]:
    """The leaves of a value. Empty objects and lists are leaves; 1 and 1.0 are one number, 1 and true are not."""
    return Counter(_leaves(value))


def _leaves(value: Any) -> Iterator[Field]:
    # A stack of our own: what json.loads could nest, a recursion of ours might not.
    left: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while left:
        path, here = left.pop()
        if isinstance(here, dict | list):
            inside = list(here.items() if isinstance(here, dict) else enumerate(here))
            left.extend(((*path, key), each) for key, each in inside)
            if not inside:
                yield path, "object" if isinstance(here, dict) else "array", None
        else:
            yield path, _TYPES[type(here)], here

"""Ranges that stand in a plan where values stand.

train: {lr: {log: [1e-5, 1e-3]}}                      between two ends; log: by orders of magnitude
method: {name: lora, r: {choice: [4, 8, 16]},         one of these
         alpha: {times: [2, method.r]}}               tied: twice what stands at another path
method: {choice: [head, {name: layers, top: {integer: [1, 4]}}]}      a range that lives where its branch is chosen
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import TunesmithError, unknown
from tunesmith.plan_rules import RANGES, is_range

TIE = "times"
_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
Value = int | float | str | bool | None


@dataclass(frozen=True)
class Range:
    """What a setting may be."""

    name: str
    """Its path, and behind the path of a choice the branch that it belongs to: `method.layers.top`. No two share it."""
    path: str
    """Where its value goes in the plan."""
    kind: str
    low: float = 0.0
    high: float = 0.0
    options: tuple[Any, ...] = ()
    """Of a choice: what may stand there, ranges of its own inside."""
    labels: tuple[Value, ...] = ()
    """What each option is called: itself, or the name of the part that it describes."""

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return self.kind.endswith("integer")

    @property
    def logarithmic(self) -> bool:
        return self.kind.startswith("log")

    @property
    def ends(self) -> tuple[Value, ...]:
        """Both ends, or all options: where a plan would refuse a value, if anywhere."""
        if self.kind == "choice":
            return self.labels
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    def option(self, label: Value) -> Any:
        """What a label stands for."""
        return next(o for o, known in zip(self.options, self.labels, strict=True) if same(known, label))

    def told(self) -> str:
        """As a plan says it."""
        return f"{{{self.kind}: [{', '.join(map(str, self.labels or self.ends))}]}}"


@dataclass(frozen=True)
class Tie:
    """A value that follows another one."""

    path: str
    factor: float
    of: str


def same(a: Value, b: Value) -> bool:
    """Whether two values are one; true is not 1."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def read_range(node: Mapping[str, list[Any]], path: str, name: str) -> Range | Tie:
    """The range that a piece of a plan describes. Raises TunesmithError, with the path, for one that is none."""
    ((kind, given),) = node.items()
    given = [_value(each) for each in given]
    if kind == TIE:
        if len(given) != 2 or not _number(given[0]) or not isinstance(given[1], str):
            raise TunesmithError(f"{path}: a tie is {{times: [factor, path]}}, such as {{times: [2, method.r]}}; "
                                 f"got {node}")  # fmt: skip
        return Tie(path, given[0], given[1])
    if kind == "choice":
        return _choice(given, path, name)
    if len(given) != 2 or not all(map(_number, given)):
        raise TunesmithError(f"{path}: {kind} has two numbers, {{{kind}: [low, high]}}; got {given}")
    low, high = given
    if kind.endswith("integer") and not all(float(end).is_integer() for end in given):
        raise TunesmithError(f"{path}: {kind} lies between whole numbers; got {given}. For others write uniform or log")
    if low >= high:
        raise TunesmithError(f"{path}: {kind} goes from low to high; got {given}")
    if kind.startswith("log") and low <= 0:
        raise TunesmithError(f"{path}: {kind} begins above 0, since 0 has no order of magnitude; got {given}")
    return Range(name, path, kind, float(low), float(high))


def _choice(given: list[Any], path: str, name: str) -> Range:
    labels = tuple(_label(option) for option in given)
    if len(labels) < 2 or any(same(a, b) for i, a in enumerate(labels) for b in labels[:i]):
        raise TunesmithError(f"{path}: choice has at least two different options; got {list(labels)}. Parts of one "
                             "name are one option with ranges inside")  # fmt: skip
    return Range(name, path, "choice", options=tuple(given), labels=labels)


def _label(option: Any) -> Value:
    if isinstance(option, Mapping):
        option = option.get("name", option)
    if isinstance(option, str | int | float | bool | None):
        return option
    return json.dumps(option, ensure_ascii=False, default=str)


def _value(given: Any) -> Any:
    """YAML reads 1e-5, which lacks a dot, as a text."""
    if isinstance(given, str) and _NUMBER.fullmatch(given):
        return float(given)
    return given


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def misspelt(node: Any, path: str = "") -> str | None:
    """A sentence for the first thing that looks like a range of an unknown kind: {lr: {logg: [a, b]}}."""
    if is_range(node):
        return next((s for o in node.get("choice", ()) if (s := misspelt(o, path))), None)
    if isinstance(node, Mapping):
        if len(node) == 1 and path:
            ((kind, given),) = node.items()
            if isinstance(given, list) and len(given) == 2 and all(_number(_value(g)) for g in given) and _near(kind):
                return f"{path}: {unknown('range', kind, RANGES)}"
        return next((s for key, below in node.items() if (s := misspelt(below, f"{path}.{key}".strip(".")))), None)
    if isinstance(node, list):
        return next((s for i, below in enumerate(node) if (s := misspelt(below, f"{path}.{i}"))), None)
    return None


def _near(kind: Any) -> bool:
    from difflib import get_close_matches

    return bool(get_close_matches(str(kind), ["loguniform", "int", "randint", "range", "between", *RANGES], 1, 0.7))

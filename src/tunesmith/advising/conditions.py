"""When a rule applies: conditions on a case, written as people write them.

    rows: "< 1000"      rows: 1000 to 10000 (both ends in)      kind: classes      kind: [classes, tags]      gpu: true

A condition on what is not known does not hold.
"""

import operator
import re
from typing import Any

from tunesmith.advising.case import Case
from tunesmith.errors import TunesmithError, unknown

_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_BOUND = re.compile(r"(<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)")
_RANGE = re.compile(r"(-?\d+(?:\.\d+)?) to (-?\d+(?:\.\d+)?)")
Condition = str | float | bool | list[str]
When = dict[str, Condition]


def holds(when: When, case: Case) -> bool:
    """Whether all conditions hold."""
    return all(_holds(condition, getattr(case, name)) for name, condition in when.items())


def _holds(condition: Condition, value: Any) -> bool:
    if value is None:
        return False
    if isinstance(condition, list):
        return value in condition
    if isinstance(condition, str) and not isinstance(value, str):
        if found := _BOUND.fullmatch(condition):
            return bool(_COMPARE[found[1]](value, float(found[2])))
        found = _RANGE.fullmatch(condition)
        assert found is not None, "checked when the rules were read"
        return bool(float(found[1]) <= value <= float(found[2]))
    return bool(value == condition)


def check(when: When, where: str) -> None:
    """Raise TunesmithError for a condition on nothing that a case has, or that cannot be read."""
    for name, condition in when.items():
        if name not in Case.model_fields:
            raise TunesmithError(f"{where}: {unknown('fact', name, list(Case.model_fields))}")
        wordy = "str" in str(Case.model_fields[name].annotation)
        if isinstance(condition, str) and not wordy and not _BOUND.fullmatch(condition) and not _RANGE.fullmatch(
            condition
        ):  # fmt: skip
            raise TunesmithError(f"{where}: {name}: cannot read '{condition}'. Write '< 1000' or '1000 to 10000'")


def told(when: When) -> str:
    """Conditions in words, for the docs."""
    if not when:
        return "always"
    words = []
    for name, condition in when.items():
        if isinstance(condition, bool):
            words.append(name if condition else f"not {name}")
        else:
            words.append(f"{name} {', '.join(condition) if isinstance(condition, list) else condition}")
    return "; ".join(words)

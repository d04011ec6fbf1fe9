"""Every corner of a space is looked at before the first trial: what a plan refuses, it refuses now."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import TunesmithError
from tunesmith.search.tuning.ranges import Value
from tunesmith.search.tuning.space import Space, Values

Check = Callable[[dict[str, Any]], Any]
"""A tree -> a plan; raises TunesmithError where it is none."""


@dataclass(frozen=True)
class Corners:
    """What was looked at."""

    checked: int
    every: bool
    """Whether these are all combinations of ends."""
    refused: int
    """Combinations that are no plan, though each of their values is part of one that is."""
    reason: str | None
    """Of the first of them."""
    first: Any
    """The plan at the first corner that is one."""

    @property
    def told(self) -> dict[str, Any]:
        """As the reply says it."""
        return {"checked": self.checked, "every": self.every, "refused": self.refused, "reason": self.reason}


def check_corners(space: Space, check: Check) -> Corners:
    """Raises TunesmithError with each end of a range that no plan takes, and the reason."""
    corners, every = space.corners()
    plans: list[Any] = []
    tried = [(values, _refusal(space, values, check, plans)) for values in corners]
    reasons = [why for _, why in tried if why is not None]
    if len(reasons) == len(tried):
        raise TunesmithError(reasons[0])
    taken = {(name, repr(value)) for values, why in tried if why is None for name, value in values.items()}
    bad: dict[tuple[str, str], str] = {}
    for values, why in sorted(tried, key=lambda each: len(each[1] or "")):  # the reason that says least beside it
        for name, value in values.items():
            if why is not None and (name, repr(value)) not in taken:
                bad.setdefault((name, repr(value)), _sentence(space, name, value, why))
    if bad:
        said = sorted(bad.values())
        lines = ["the search has values that the plan refuses:", *(f"  - {each}" for each in said)]
        raise TunesmithError("\n".join(lines) if len(said) > 1 else said[0])
    return Corners(len(tried), every, len(reasons), reasons[0] if reasons else None, plans[0])


def _refusal(space: Space, values: Values, check: Check, plans: list[Any]) -> str | None:
    try:
        plans.append(check(space.filled(values)))
    except TunesmithError as error:
        return str(error)
    return None


def _sentence(space: Space, name: str, value: Value, why: str) -> str:
    return f"{name}: {value} of {space.ranges()[name].told()} is refused: {why}"

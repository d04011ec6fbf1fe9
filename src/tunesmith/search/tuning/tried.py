"""What a search has tried: the same record whichever engine tried it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from tunesmith.search.attempt import Standing
from tunesmith.search.tuning.space import Values

State = Literal["done", "stopped", "failed", "open", "member"]
"""done: all its steps, or it stopped early by itself. stopped: left early by the search. open: can go on. member: of a
population, with settings that changed while it trained."""


@dataclass(frozen=True)
class Tried:
    """One trial."""

    number: int
    values: Values
    state: State
    value: float | None
    """The best on validation rows, of as many steps as were done."""
    share: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    reason: str = ""
    """Why it failed, or why it ended."""
    folder: str = ""
    """Where its attempt is, below the folder of the search."""
    changed: tuple[Mapping[str, Any], ...] = field(default=())
    """Of pbt: when it went on from another one, and with which settings."""


def of_standing(standing: Standing) -> float | None:
    """The value of an attempt; None where it has none that can be compared."""
    return None if standing.value is None or not math.isfinite(standing.value) else standing.value


def ranked(tried: Iterable[Tried], *, higher: bool, state: State = "done") -> list[Tried]:
    """Those in a state that have a value, best first; of equal ones the earlier."""
    known = [each for each in tried if each.state == state and each.value is not None]
    return sorted(known, key=lambda t: (-t.value if higher else t.value, t.number))  # type: ignore[operator]


def counted(tried: Sequence[Tried]) -> dict[str, int]:
    """How many are in each state."""
    return {state: sum(t.state == state for t in tried) for state in get_args(State)}

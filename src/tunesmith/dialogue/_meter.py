"""The budget of one rendering: every step and every text of a chat template is paid for out of it.

Work is counted and not timed, so a template is refused on every machine or on none.
"""

from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from types import GeneratorType
from typing import Any

from jinja2.exceptions import SecurityError

BUDGET = 1 << 26
"""Units for one rendering: a tick each step, a unit each character that is read or made."""
LARGEST = 1 << 22
"""Units of the largest value and of the whole output, about as many characters."""
TICK = 128
ITEM = 16
"""Units of a place in a list, and letters that an operation walks over for one unit."""
_LONGEST_INTEGER = 4096  # bits


class TooMuchError(SecurityError):
    """The template asks for more work or memory than any conversation needs."""


class Meter:
    """What one rendering may still spend."""

    def __init__(self, marks: tuple[str, str] | None = None, budget: int = BUDGET) -> None:
        self.left, self.marks = budget, marks
        self._known: dict[int, tuple[Any, int]] = {}

    def spend(self, units: int) -> None:
        """Pay, or refuse."""
        self.left -= units
        if self.left < 0:
            raise TooMuchError(f"it needs more than {BUDGET // TICK} steps or texts beyond bounds (an endless loop?)")

    def weight(self, value: Any) -> int:
        """Units of a value, what it holds several times counted as often; refused beyond LARGEST.

        Values cannot change inside the sandbox, so a list is added up once.
        """
        if isinstance(value, str):
            return bounded(len(value) + 1)
        if isinstance(value, list | tuple | dict):
            if id(value) not in self._known:
                inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
                self.spend(ITEM * len(inner))
                total = sum(self.weight(item) + ITEM for item in inner) + ITEM
                self._known[id(value)] = value, bounded(total)  # held, so that no other value gets its id
            return self._known[id(value)][1]
        return value.bit_length() // 8 + 1 if isinstance(value, int) else 1

    def made(self, value: Any) -> Any:
        """A new value: its own size is paid for (not what it refers to), and it may not be too large."""
        if isinstance(value, GeneratorType):
            return self._paid(value)
        if isinstance(value, int) and value.bit_length() > _LONGEST_INTEGER:
            raise TooMuchError("it computes a number of thousands of digits")
        self.weight(value)
        sized = isinstance(value, str | list | tuple | dict)
        self.spend(TICK + (len(value) * (1 if isinstance(value, str) else ITEM) if sized else 0))
        return value

    def _paid(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self.spend(TICK)
            yield item


def bounded(units: int) -> int:
    """The size of a value, or refused."""
    if units > LARGEST:
        raise TooMuchError(f"it makes or is given a value of more than {LARGEST} characters")
    return units


METER: ContextVar[Meter] = ContextVar("meter")
"""Of the rendering that goes on."""

"""How large is a difference, apart from how sure it is?

Cohen's g, of rows right or wrong: the share of b among the rows that only one side gets right, minus a half. Cohen's
d_z, of anything else: the difference by the spread of what a single row adds to it, which is the standard error times
the root of the number of rows (Cohen 1988, Statistical power analysis, chapters 2 and 4, whose words for sizes these
are). Neither depends on how many rows there are.
"""

from dataclasses import dataclass
from typing import Literal

WORDS = ("negligible", "small", "medium", "large")
G_STEPS, D_STEPS = (0.05, 0.15, 0.25), (0.2, 0.5, 0.8)


@dataclass(frozen=True)
class Effect:
    """A size without a unit, positive where b has the higher value; None where nothing has any spread."""

    name: Literal["cohen_g", "cohen_dz"]
    value: float | None
    size: str | None


def cohen_g(only_a: int, only_b: int) -> Effect:
    """Of the rows that only one side gets right."""
    if not only_a + only_b:
        return Effect("cohen_g", None, None)
    value = only_b / (only_a + only_b) - 0.5
    return Effect("cohen_g", value, _word(value, G_STEPS))


def cohen_dz(value: float, error: float, units: int) -> Effect:
    """Of a difference with this standard error over so many units."""
    spread = error * units**0.5
    if not spread > 0:  # NaN, too
        return Effect("cohen_dz", None, None)
    return Effect("cohen_dz", value / spread, _word(value / spread, D_STEPS))


def _word(value: float, steps: tuple[float, ...]) -> str:
    return WORDS[sum(abs(value) >= step for step in steps)]

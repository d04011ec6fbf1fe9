"""How many more rows, or seeds, would tell? Sample sizes for a power of .8 if what was seen is the truth.

The standard error falls with the root of the number of rows, so the number that is needed follows from the error that
was measured, whatever the metric (Cohen 1988, chapter 1; for tests of equivalence Chow, Shao and Wang 2008, chapter 3):

    a difference d is shown once     error <= |d| / (z_(1-alpha/2) + z_power)
    a difference within the margin   error <= (margin - |d|) / (z_(1-alpha) + z_power)

where z_power becomes z_((1+power)/2) as d nears 0: then both sides of the margin must be passed at once. What seeds add
to the error does not fall with rows.
"""

from dataclasses import dataclass
from math import ceil

POWER = 0.8
"""Chance that the verdict is reached with the rows that are named, if the truth is what was seen."""
MOST = 10_000_000
"""From here on a number of rows is no advice."""


@dataclass(frozen=True)
class Needed:
    """How many more of each would tell; None where no number of them would, or more than MOST rows."""

    rows: int | None
    seeds: int | None = None
    """More seeds a side, where rows alone would not do."""


def aimed_error(value: float, margin: float | None, alpha: float, power: float = POWER) -> float:
    """The largest standard error at which a verdict is reached with that power; 0 where there is none."""
    from scipy.stats import norm

    found = [abs(value) / float(norm.ppf(1 - alpha / 2) + norm.ppf(power))]
    if margin is not None and abs(value) < margin:
        found.append(_equivalent_error(abs(value), margin, alpha, power))
    return max(found)


def _equivalent_error(distance: float, margin: float, alpha: float, power: float) -> float:
    """Largest error at which both one-sided tests are passed with that power; by halving, for power has no inverse."""
    from scipy.stats import norm

    z = float(norm.ppf(1 - alpha))
    low, high = 0.0, margin / z
    for _ in range(60):
        error = (low + high) / 2
        passed = norm.cdf((margin - distance) / error - z) + norm.cdf((margin + distance) / error - z) - 1
        low, high = (error, high) if passed >= power else (low, error)
    return low


def needed(error: float, units: int, aim: float) -> Needed:
    """More rows until the standard error is `aim`."""
    if not (aim > 0 and error > 0):
        return Needed(None)
    more = ceil(units * (error / aim) ** 2) - units
    return Needed(max(1, more)) if more < MOST else Needed(None)


def needed_of_both(rows_variance: float, seeds_variance: float, units: int, seeds: int, aim: float) -> Needed:
    """More rows where these are enough; else more seeds a side, with the rows that there are."""
    if not aim > 0:
        return Needed(None)
    if (room := aim**2 - seeds_variance) > 0:
        return needed(rows_variance**0.5, units, room**0.5)
    if (room := aim**2 - rows_variance) > 0:
        return Needed(None, max(1, ceil(seeds * seeds_variance / room) - seeds))
    return Needed(None)


def about(number: int) -> str:
    """Two digits are what such a number is good for: "2,300"."""
    digits = max(0, len(str(number)) - 2)
    return f"{ceil(number / 10**digits) * 10**digits:,}"

"""The difference between two ways of training, over seeds and rows: both are drawn, so both make it uncertain.

    d_s      metric of a minus metric of b, of seed s                   the estimate is their mean
    half     sqrt(z² rows + t² seeds)                                   z normal, t Student's with S - 1 degrees
    seeds    variance of d_s, over S: all that differs from seed to seed, the rows that it holds out included
    rows     what new rows would change for all seeds alike: the bootstrap over rows, each drawn with its answers under
             all seeds, less what it owes to answers that differ from seed to seed; 0 at least

Rows and seeds are crossed random factors (Owen 2007, "The pigeonhole bootstrap"); each part has the quantile of its own
law, as in the limits of Graybill and Wang 1980, because 3 seeds tell a variance badly: an interval by the normal law
would hold the truth in 80 % of cases instead of 95 %. One seed says nothing of others and is refused.

Shape letters: S seeds, N rows of a seed, G rows of all, R resamples.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunesmith.errors import TunesmithError
from tunesmith.evaluation.intervals import draws
from tunesmith.evaluation.significance import Difference
from tunesmith.metrics import Answers, Floats, Metric


@dataclass(frozen=True)
class Crossed(Difference):
    """With the two parts of its variance: what more seeds would lessen, and what only more rows would."""

    of_seeds: float = 0.0
    """Variance that falls with the number of seeds, for these many."""
    of_rows: float = 0.0
    """Variance that stays however many seeds there are."""
    seeds: int = 0
    rows: int = 0
    """Distinct rows that were judged."""

    def seeds_for(self, level: float) -> int | None:
        """So many seeds would tell a difference of this size from none; None where no number would."""
        spare = self.value**2 - _z(level) ** 2 * self.of_rows
        if spare <= 0 or not self.value:
            return None
        return max(self.seeds + 1, math.ceil(_z(level) ** 2 * self.of_seeds * self.seeds / spare))

    def rows_for(self, level: float) -> int | None:
        """So many judged rows would, with seeds enough; None where these rows are enough, or none would be."""
        if not self.value or self.value**2 > _z(level) ** 2 * self.of_rows:
            return None
        return max(self.rows + 1, math.ceil(self.rows * _z(level) ** 2 * self.of_rows / self.value**2))


def crossed(
    metric: Metric, pairs: Sequence[tuple[Answers, Answers]], rows: Sequence[NDArray[np.int64]], *,
    resamples: int = 1000, seed: int = 0, level: float = 0.95,
) -> Crossed:  # fmt: skip
    """a minus b. `pairs`: both answers of each seed, to the same rows; `rows`: what each of these is among all seeds,
    by a number that rows which depend on each other share."""
    if len(pairs) < 2:
        raise TunesmithError("one seed says nothing of others: compare with 2 seeds or more")
    known, place = np.unique(np.concatenate(rows), return_inverse=True)
    places = np.split(place.reshape(-1), np.cumsum([len(each) for each in rows])[:-1])
    plain_S = np.array([_minus(metric, a, b, np.ones((1, a.rows)))[0] for a, b in pairs])
    parts = []
    for weight_RG in draws(len(known), resamples, seed):
        both = [_minus(metric, a, b, weight_RG[:, at]) for (a, b), at in zip(pairs, places, strict=True)]
        parts.append(np.stack(both, axis=1))
    drawn_RS = np.concatenate(parts)
    drawn_RS = drawn_RS[~np.isnan(drawn_RS).any(axis=1)]
    undefined = resamples - len(drawn_RS)
    value = float(plain_S.mean())
    if len(drawn_RS) < 2 or math.isnan(value):
        return Crossed(value, None, None, 1.0, undefined, seeds=len(pairs), rows=len(known))
    of_rows, of_seeds = _parts(plain_S, drawn_RS)

    def half(level: float) -> float:
        return math.sqrt(_z(level) ** 2 * of_rows + _t(level, len(pairs) - 1) ** 2 * of_seeds)

    p = max(_p(value, half), 1 / (len(drawn_RS) + 1))
    low, high = value - half(level), value + half(level)
    return Crossed(value, low, high, p, undefined, of_seeds, of_rows, len(pairs), len(known))


def _minus(metric: Metric, a: Answers, b: Answers, weight_RN: Floats) -> Floats:
    return metric.measure(a, weight_RN) - metric.measure(b, weight_RN)


def _parts(plain_S: Floats, drawn_RS: Floats) -> tuple[float, float]:
    """(variance that more seeds do not lessen, variance that they do) of the mean over seeds."""
    num = len(plain_S)
    mean_R = drawn_RS.mean(axis=1)
    own = float((drawn_RS - mean_R[:, None]).var(axis=0, ddof=1).mean()) / (num - 1)
    return max(0.0, float(mean_R.var(ddof=1)) - own), float(plain_S.var(ddof=1)) / num


def _p(value: float, half: Callable[[float], float]) -> float:
    """1 minus the level whose interval just reaches 0."""
    low, high = 0.0, 1 - 1e-6
    if value == 0 or half(high) <= abs(value):
        return float(value == 0)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if half(middle) >= abs(value) else (middle, high)
    return 1 - high


def _z(level: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf((1 + level) / 2))


def _t(level: float, degrees: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + level) / 2, degrees))

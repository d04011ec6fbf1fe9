"""A live A/B test that may be looked at after every outcome, and stopped at any, without more false alarms.

Outcomes lie between 0 and 1: answers that were right, tickets that were solved, stars on a scale. For a guess p of a
version's mean, its sum s of n outcomes and a Beta(1/2, 1/2) mixture over the alternatives,

    E(p) = B(s + 1/2, n - s + 1/2) / B(1/2, 1/2) / (p^s (1 - p)^(n - s))

is a nonnegative martingale when p is true and outcomes are 0 or 1, and a supermartingale for other outcomes with that
mean, since x -> u^x v^(1-x) is convex (Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon 2021, Time-uniform,
nonparametric, nonasymptotic confidence sequences, arXiv 1810.08240). The product over both versions is one, too,
whatever decides which version answers next as long as it does not know the outcome. So E_a(p) E_b(p + d) reaches
1 / alpha at any time with a chance of at most alpha when p and p + d are the true means (Ville 1939), and

    p-value of "the means differ by d":   1 / max over the looks so far of  min over p of E_a(p) E_b(p + d)

is valid at every look (the minimum over what is not asked about: Wasserman, Ramdas and Balakrishnan 2020, Universal
inference). No assumption of normality, no burn-in, no number of looks to fix beforehand. The price: about half as many
outcomes again as a test with one look.

Shape letters: T outcomes in the order of arrival, L looks, K candidate values.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.metrics import Floats

GRID = 32
"""Candidate means among which a minimum is searched, four times, ever closer."""
LOOKS = 100
"""Most points in time at which an interval is drawn into the running one."""


@dataclass(frozen=True)
class Seen:
    """Outcomes so far, of versions that have some; arrays (L,) of L times."""

    num_a: Any
    sum_a: Any
    num_b: Any
    sum_b: Any

    @property
    def difference(self) -> Any:
        """Mean of b minus mean of a."""
        return self.sum_b / self.num_b - self.sum_a / self.num_a

    def times(self, factor: float) -> "Seen":
        """As if so many times the outcomes had come at the same rates."""
        return Seen(self.num_a * factor, self.sum_a * factor, self.num_b * factor, self.sum_b * factor)


def log_e(num: Floats | float, total: Floats | float, p: Floats | float) -> Floats:
    """Logarithm of E(p) for sums of outcomes; arrays are broadcast. p of 0 or 1 is ruled out by any other outcome."""
    from scipy.special import betaln, xlog1py, xlogy

    mixed = betaln(np.asarray(total) + 0.5, np.asarray(num) - total + 0.5) - betaln(0.5, 0.5)
    return np.asarray(mixed - xlogy(total, p) - xlog1py(np.asarray(num) - total, -np.asarray(p)))


def evidence(b_T: NDArray[np.bool_], outcome_T: Floats) -> Floats:
    """(T,) log of min over p of E_a(p) E_b(p) after each outcome; its minimum lies at the pooled mean."""
    is_b = b_T.astype(np.float64)
    num_b, sum_b = np.cumsum(is_b), np.cumsum(outcome_T * is_b)
    num_a, sum_a = np.cumsum(1 - is_b), np.cumsum(outcome_T * (1 - is_b))
    pooled: Floats = (sum_a + sum_b) / (num_a + num_b)
    found_T: Floats = log_e(num_a, sum_a, pooled) + log_e(num_b, sum_b, pooled)
    return found_T


def running_p(b_T: NDArray[np.bool_], outcome_T: Floats) -> Floats:
    """(T,) p-value of "both means are the same" after each outcome; it never rises."""
    return np.exp(-np.maximum(np.maximum.accumulate(evidence(b_T, outcome_T)), 0.0))


def log_e_of_difference(seen: Seen, difference_L: Floats) -> Floats:
    """Log of min over p of E_a(p) E_b(p + difference), (L,); the function is convex in p. `seen` may hold (L,) arrays,
    for a difference at each of L times."""
    low_L, high_L = np.maximum(0.0, -difference_L), np.minimum(1.0, 1.0 - difference_L)
    num_a, sum_a, num_b, sum_b = (
        np.reshape(each, (-1, 1)) for each in (seen.num_a, seen.sum_a, seen.num_b, seen.sum_b)
    )
    for _ in range(4):  # each time around the best of the last grid
        p_LK = np.linspace(low_L, high_L, GRID, axis=1)
        moved_LK = np.clip(p_LK + difference_L[:, None], 0, 1)
        log_LK = log_e(num_a, sum_a, p_LK) + log_e(num_b, sum_b, moved_LK)
        best_L, rows = log_LK.argmin(1), np.arange(len(p_LK))
        low_L, high_L = p_LK[rows, np.maximum(0, best_L - 1)], p_LK[rows, np.minimum(GRID - 1, best_L + 1)]
    return np.asarray(log_LK[rows, best_L])


def intervals(seen: Seen, alpha: float) -> tuple[Floats, Floats]:
    """(lower (L,), upper (L,)): the differences that are not refuted at each of L times, found by halving."""
    wall, middle_L = -np.log(alpha), np.atleast_1d(seen.difference)

    def edge(end: float) -> Floats:
        end_L = np.full(len(middle_L), end)
        free_L = log_e_of_difference(seen, end_L) < wall
        inside_L, outside_L = middle_L, end_L
        for _ in range(24):
            half_L = (inside_L + outside_L) / 2
            out_L = log_e_of_difference(seen, half_L) >= wall
            inside_L, outside_L = np.where(out_L, inside_L, half_L), np.where(out_L, half_L, outside_L)
        return np.where(free_L, end, outside_L)

    return edge(-1.0), edge(1.0)


def running_interval(b_T: NDArray[np.bool_], outcome_T: Floats, alpha: float) -> tuple[float, float]:
    """What was never refuted at up to LOOKS looks, evenly over the time: no wider than the last one alone. Where the
    looks contradict each other (the versions changed on the way) the last look alone is given; (-1, 1) before each
    version has an outcome."""
    at_L = np.unique(np.linspace(1, len(b_T), min(LOOKS, len(b_T))).astype(int)) - 1
    num_a_L, num_b_L = np.cumsum(~b_T)[at_L], np.cumsum(b_T)[at_L]
    known_L = (num_a_L > 0) & (num_b_L > 0)
    if not known_L.any():
        return -1.0, 1.0
    sum_a_L, sum_b_L = np.cumsum(outcome_T * ~b_T)[at_L], np.cumsum(outcome_T * b_T)[at_L]
    low_L, high_L = intervals(Seen(num_a_L[known_L], sum_a_L[known_L], num_b_L[known_L], sum_b_L[known_L]), alpha)
    low, high = float(low_L.max()), float(high_L.min())
    return (low, high) if low <= high else (float(low_L[-1]), float(high_L[-1]))


def seen_of(b_T: NDArray[np.bool_], outcome_T: Floats) -> Seen:
    """Sums of the outcomes of each version."""
    return Seen(int((~b_T).sum()), float(outcome_T[~b_T].sum()), int(b_T.sum()), float(outcome_T[b_T].sum()))


def more_needed(seen: Seen, alpha: float, most: int = 10_000_000) -> int | None:
    """Outcomes of both versions, beyond those seen, after which the difference seen would be shown if it goes on so;
    None where `most` would not do."""
    have = int(seen.num_a + seen.num_b)
    if seen.difference == 0:
        return None

    def shown(factor: float) -> bool:
        return bool(log_e_of_difference(seen.times(factor), np.zeros(1))[0] >= -np.log(alpha))

    low, high = 1.0, 2.0
    while not shown(high):
        low, high = high, 2 * high
        if have * high > most:
            return None
    for _ in range(24):
        half = (low + high) / 2
        low, high = (low, half) if shown(half) else (half, high)
    return max(1, round(have * (high - 1)))

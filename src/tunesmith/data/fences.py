"""Fences: where a number stands so far from the middle half of its column that it may be wrong.

    low = Q1 - k IQR        high = Q3 + k e^(3 MC) IQR       skewed to the right, MC >= 0; the mirror image to the left

IQR = Q3 - Q1 and MC, the medcouple, says how skewed the values are, from -1 to 1; neither moves with a few wild values.
Where all values are above 0 and their logarithms are the less skewed, the fences are of these (costs, durations).

k = 3 is Tukey's "far out"; the longer side as in the adjusted boxplot of Hubert and Vandervieren 2008
(https://doi.org/10.1016/j.csda.2007.11.008), who also draw the shorter side nearer, which raises false alarms in small
samples. MC: Brys, Hubert and Struyf 2004.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith import scratch

K = 3.0
FEWEST = 20
"""Values below which a quartile says too little."""
_LOOKED_AT = 1001
"""Quantiles that the medcouple is taken of, where there are more values."""
Floats = NDArray[np.float64]
Form = Callable[[Any], Any]
"""What is made of values before they are compared; it keeps their order."""


@dataclass(frozen=True)
class Fences:
    """What lies outside is far out."""

    low: float
    high: float

    def outside(self, values_N: Floats) -> NDArray[np.int64]:
        """(n,): the places of values that do, in order; a missing one (NaN) does not."""
        return scratch.where(values_N, lambda some: (some < self.low) | (some > self.high))


def fences(values_N: Floats, k: float = K) -> Fences | None:
    """The fences of a column; None for fewer than 20 values, or where half of them are one and nothing can be told."""
    if len(values_N) < FEWEST:
        return None
    sorted_N = scratch.copied(values_N)
    sorted_N.sort()  # in place, in its file where it has one
    skew = _skew(sorted_N, np.asarray)
    if sorted_N[0] > 0 and abs(of_logs := _skew(sorted_N, np.log)) < abs(skew):
        found = _of(sorted_N, np.log, of_logs, k)
        return found and Fences(*np.exp([found.low, found.high]).tolist())
    return _of(sorted_N, np.asarray, skew, k)


def _of(sorted_N: Floats, form: Form, skew: float, k: float) -> Fences | None:
    first, third = _quantiles(sorted_N, np.array([0.25, 0.75]), form).tolist()
    if first == third:
        return None
    reach = k * (third - first)
    return Fences(first - reach * np.exp(3 * max(0.0, -skew)), third + reach * np.exp(3 * max(0.0, skew)))


def _skew(sorted_N: Floats, form: Form) -> float:
    few = len(sorted_N) <= _LOOKED_AT
    return medcouple(form(sorted_N) if few else _quantiles(sorted_N, np.linspace(0, 1, _LOOKED_AT), form))


def _quantiles(sorted_N: Floats, shares_Q: Floats, form: Form) -> Floats:
    """(Q,): np.quantile of form(values) to the bit, of which only the two values beside each quantile are looked at."""
    places_Q = shares_Q * (len(sorted_N) - 1)
    before_Q = places_Q.astype(np.int64)
    low_Q, high_Q = (form(sorted_N[np.minimum(before_Q + i, len(sorted_N) - 1)]) for i in (0, 1))
    part_Q, gap_Q = places_Q - before_Q, high_Q - low_Q
    return np.asarray(np.where(part_Q < 0.5, low_Q + gap_Q * part_Q, high_Q - gap_Q * (1 - part_Q)))


def medcouple(values_N: Floats) -> float:
    """The median of ((u - m) - (m - l)) / (u - l) over all values u >= m >= l, with m their median."""
    centred_N = values_N - np.median(values_N)
    above_U, below_L = np.sort(centred_N[centred_N >= 0])[::-1], np.sort(centred_N[centred_N <= 0])[::-1]
    gap_UL = above_U[:, None] - below_L[None]
    ties = int((above_U == 0).sum())
    kernel_UL = np.divide(above_U[:, None] + below_L[None], gap_UL, out=np.zeros_like(gap_UL), where=gap_UL != 0)
    if ties:  # of values that are the median itself each pair is ranked by its places
        places = np.arange(ties)
        kernel_UL[len(above_U) - ties :, :ties] = np.sign(ties - 1 - places[:, None] - places[None])
    return float(np.median(kernel_UL))

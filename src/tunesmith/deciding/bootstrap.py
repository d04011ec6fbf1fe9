"""The paired bootstrap with bias corrected and accelerated (BCa): an interval, and p-values that agree with it.

Units are drawn with replacement, both sides are measured on the same draw. The plain percentile interval is off by the
bias z0 (how far the plain value lies from the median of the draws) and by the acceleration a (how the error grows with
the value, from the skewness of a jackknife); BCa moves the two percentiles by both (Efron 1987, Better bootstrap
confidence intervals; Efron and Tibshirani 1993, chapter 14):

    level of a limit = Phi(z0 + (z0 + z) / (1 - a (z0 + z)))

A p-value is the level at which a limit of the interval touches the value asked about: the formula solved for z.

Shape letters: R resamples, G units, K blocks of units.
"""

from dataclasses import dataclass

import numpy as np

from tunesmith.deciding.pairs import Pair, masks
from tunesmith.metrics import Floats, Ints

BLOCKS = 500
"""Most values of the jackknife. More units are left out a block at a time: the skewness of sums of m units is that of
one unit by sqrt(m), so that the sum over blocks estimates the same acceleration, with an error near 0.65 / K."""


@dataclass(frozen=True)
class Bootstrapped:
    """The draws of a difference, and what BCa needs to read them."""

    value: float
    drawn_R: Floats
    """Defined draws, ascending."""
    bias: float
    """z0, in standard normal units; 0 where it falls back."""
    acceleration: float
    undefined: int
    """Draws in which the metric is not defined, left out."""
    fallback: str | None
    """Why the interval is the plain percentile one; None where it is BCa."""

    @property
    def error(self) -> float:
        """Standard error of the difference."""
        return float(self.drawn_R.std(ddof=1)) if len(self.drawn_R) > 1 else float("nan")

    @property
    def name(self) -> str:
        """What the test is called."""
        return f"paired bootstrap ({'percentile' if self.fallback else 'BCa'})"

    def interval(self, level: float) -> tuple[float, float] | None:
        """The limits of the interval of that level; None where nothing was drawn."""
        from scipy.stats import norm

        if not len(self.drawn_R):
            return None
        z = self.bias + norm.ppf([(1 - level) / 2, (1 + level) / 2])
        low, high = np.quantile(self.drawn_R, norm.cdf(self.bias + z / (1 - self.acceleration * z)))
        return float(low), float(high)

    def below(self, null: float) -> float:
        """Confidence that the true difference lies below `null`: the one-sided p-value of "it is at least that".

        Draws equal to `null` count half; one is added, so that R draws never say less than about 1 / R.
        """
        from scipy.stats import norm

        left, right = (np.searchsorted(self.drawn_R, null, side) for side in ("left", "right"))
        w = float(norm.ppf(((left + right) / 2 + 0.5) / (len(self.drawn_R) + 1))) - self.bias
        return float(norm.cdf(w / (1 + self.acceleration * w) - self.bias))


def bootstrapped(pair: Pair, *, resamples: int = 2000, seed: int = 0) -> Bootstrapped:
    """The paired bootstrap of a difference; the seeds of a side, if there are several, are held fixed."""
    value = float(pair.difference(np.ones((1, pair.rows)))[0])
    found_R = pair.drawn(resamples, seed)
    drawn_R = np.sort(found_R[~np.isnan(found_R)])
    undefined = len(found_R) - len(drawn_R)
    z0, a, why = _corrections(pair, value, drawn_R, seed)
    return Bootstrapped(value, drawn_R, z0, a, undefined, why)


def _corrections(pair: Pair, value: float, drawn_R: Floats, seed: int) -> tuple[float, float, str | None]:
    """(z0, acceleration, None), or zeros and why the percentiles are left as they are."""
    from scipy.stats import norm

    if not len(drawn_R) or np.isnan(value):
        return 0.0, 0.0, "the metric is not defined on these rows"
    if drawn_R[0] == drawn_R[-1]:
        return 0.0, 0.0, "no draw differs from another"
    share = float((drawn_R < value).mean() + (drawn_R <= value).mean()) / 2
    if not 0 < share < 1:
        return 0.0, 0.0, "all draws lie on one side of the value"
    left_K = pair.without(masks(blocks(pair.units, seed)[pair.unit_of], np.arange(min(BLOCKS, pair.units))))
    if np.isnan(left_K).any():
        return 0.0, 0.0, "the metric is not defined without some of the rows"
    z0, a = float(norm.ppf(share)), acceleration(left_K)
    # beyond these the correction turns back on itself; it happens on a handful of rows alone
    if abs(a) > 0.3 or abs(z0) > 1:
        return 0.0, 0.0, f"too few rows for a correction (bias {z0:.2f}, acceleration {a:.2f})"
    return z0, a, None


def blocks(units: int, seed: int) -> Ints:
    """(G,) number of the block of each unit: its own while there are few, else drawn, of sizes that differ by one."""
    if units <= BLOCKS:
        return np.arange(units)
    return np.random.default_rng(seed).permutation(np.arange(units) % BLOCKS)


def acceleration(left_K: Floats) -> float:
    """Sixth of the skewness of the jackknife values (Efron 1987, equation 7.3); 0 where they have no spread."""
    away_K = left_K.mean() - left_K
    spread = float((away_K**2).sum())
    return float((away_K**3).sum()) / (6 * spread**1.5) if spread > 1e-24 else 0.0

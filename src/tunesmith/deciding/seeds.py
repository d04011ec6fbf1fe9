"""Several seeds a side: is the recipe better, and not only these two trainings of it?

Two things were drawn: the rows that all seeds answered, and the seeds of each side. The variance of the difference of
the sides' means is the sum of what each draw adds (rows and seeds as crossed factors: Owen 2007, The pigeonhole
bootstrap; why seeds must be drawn too: Bouthillier et al. 2021, arXiv 2103.03098):

    V = V_rows + s_a^2 / S_a + s_b^2 / S_b

V_rows is the variance over paired draws of rows, measured on the mean of the seeds. s^2 / S is the variance of the mean
under draws of S - 1 of the S seeds with replacement, which are free of the bias that S draws have (Rao and Wu 1988), so
these draws need not be made. Few seeds make s uncertain: limits are those of Student's t with the degrees of freedom of
Satterthwaite (1946). What seeds and rows do together is counted in both terms, which errs on the wide side.

Shape letters: R resamples, N rows, S seeds.
"""

from dataclasses import dataclass

import numpy as np

from tunesmith.deciding.pairs import Pair, Side
from tunesmith.errors import TunesmithError
from tunesmith.metrics import Floats


@dataclass(frozen=True)
class TwoWay:
    """A difference of means over seeds, with the variance of rows and that of seeds."""

    value: float
    rows_variance: float
    seeds_variance: float
    freedom: float
    undefined: int
    fallback: None = None
    name: str = "rows and seeds (two-way variance, Satterthwaite t)"

    @property
    def error(self) -> float:
        """Standard error of the difference."""
        return float(np.sqrt(self.rows_variance + self.seeds_variance))

    def interval(self, level: float) -> tuple[float, float] | None:
        """The limits of the interval of that level; None where the metric is not defined."""
        from scipy.stats import t as student

        if np.isnan(self.value) or np.isnan(self.error):
            return None
        half = float(student.ppf((1 + level) / 2, self.freedom)) * self.error
        return self.value - half, self.value + half

    def below(self, null: float) -> float:
        """Confidence that the true difference lies below `null`."""
        from scipy.stats import t as student

        away = null - self.value
        return float(student.cdf(away / self.error, self.freedom)) if self.error else float(np.heaviside(away, 0.5))


def two_way(pair: Pair, *, resamples: int = 2000, seed: int = 0) -> TwoWay:
    """The difference over rows and seeds. Raises TunesmithError where a side has one seed: its spread is unknown."""
    sides = [side for side in (pair.a, pair.b) if side]
    if any(len(side) < 2 for side in sides):
        raise TunesmithError("compare: one side has several seeds and another has one. Give each at least two, or one")
    value = float(pair.difference(np.ones((1, pair.rows)))[0])
    found_R = pair.drawn(resamples, seed)
    drawn_R = found_R[~np.isnan(found_R)]
    rows = float(drawn_R.var(ddof=1)) if len(drawn_R) > 1 else float("nan")
    parts = [(rows, pair.units - 1), *((of_seeds(pair, side).var(ddof=1) / len(side), len(side) - 1) for side in sides)]
    total = sum(part for part, _ in parts)
    lost = sum(part**2 / freedom for part, freedom in parts if part > 0)
    freedom = total**2 / lost if lost else float(pair.units - 1)
    return TwoWay(value, rows, float(total - rows), float(freedom), len(found_R) - len(drawn_R))


def of_seeds(pair: Pair, side: Side) -> Floats:
    """The metric of each seed on all rows, (S,)."""
    return np.array([pair.metric.measure(each, np.ones((1, pair.rows)))[0] for each in side])

"""Matthews correlation coefficient: the correlation between truth and answer.

(hits n - sum truths answers) / sqrt((n^2 - sum answers^2)(n^2 - sum truths^2)), 0 where that is 0 / 0.
"""

from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import counts, ratio


class Mcc(Metric):
    """Matthews correlation coefficient: the correlation between truth and answer."""

    name: Literal["mcc"] = "mcc"
    kinds: ClassVar[tuple[Kind, ...]] = ("classes",)
    points: ClassVar[float] = 0
    prefer: ClassVar[str] = "prefer mcc as one number for two unequal classes when all four cells of the table matter"
    source: ClassVar[str] = (
        "Gorodkin 2004, Comparing two K-category assignments by a K-category correlation coefficient"
    )

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        found = counts(answers, weight_RN)
        truth_RK, answer_RK, total_R = found.truth, found.answer, weight_RN.sum(1)
        together_R = found.hit.sum(1) * total_R - (truth_RK * answer_RK).sum(1)
        apart_R = (total_R**2 - (answer_RK**2).sum(1)) * (total_R**2 - (truth_RK**2).sum(1))
        # By counting: with fractional weights, rounding would leave a tiny variance where only one class occurs.
        several_R = ((truth_RK > 0).sum(1) > 1) & ((answer_RK > 0).sum(1) > 1)
        return ratio(together_R, np.sqrt(np.where(several_R, np.abs(apart_R), 0.0)))

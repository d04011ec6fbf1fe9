"""R2: the share of the label's variance that the answers explain.

1 - sum (answer - truth)^2 / sum (truth - mean)^2. Where the truth is constant: 1 if every answer is right,
else 0, as in scikit-learn. Negative when the mean would do better. NaN for fewer than two rows.
"""

from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import chunks, mean, numbers
from tunesmith.metrics._ranks import constant


class R2(Metric):
    """R2: the share of the label's variance that the answers explain."""

    name: Literal["r2"] = "r2"
    kinds: ClassVar[tuple[Kind, ...]] = ("numbers",)
    points: ClassVar[float] = 0
    prefer: ClassVar[str] = (
        "prefer r2 to compare labels of different units; it depends on how much the label varies in the test rows"
    )
    source: ClassVar[str] = "scikit-learn user guide 3.4, r2_score"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        truth_N, answer_N = numbers(answers)
        if len(truth_N) < 2:
            return np.full(len(weight_RN), np.nan)
        result_R = np.empty(len(weight_RN))
        for part in chunks(len(weight_RN), 2 * len(truth_N)):
            result_R[part] = _r2(weight_RN[part], truth_N, answer_N)
        return result_R


def _r2(weight_RN: Floats, truth_N: Floats, answer_N: Floats) -> Floats:
    wrong_R = weight_RN @ (answer_N - truth_N) ** 2
    away_RN = truth_N - mean(weight_RN, truth_N)[:, None]
    spread_R = np.einsum("rn,rn,rn->r", weight_RN, away_RN, away_RN)
    same_R = constant(weight_RN, truth_N[None])
    with np.errstate(divide="ignore", invalid="ignore"):
        result_R = np.where(same_R, (wrong_R == 0).astype(np.float64), 1 - wrong_R / spread_R)
    return np.where(weight_RN.sum(1) > 0, result_R, np.nan)

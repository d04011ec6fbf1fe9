"""Root mean squared error: the typical error, where large ones weigh more.

sqrt(mean (answer - truth)^2), in the unit of the label.
"""

from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import mean, numbers


class Rmse(Metric):
    """Root mean squared error: the typical error, where large ones weigh more."""

    name: Literal["rmse"] = "rmse"
    kinds: ClassVar[tuple[Kind, ...]] = ("numbers",)
    points: ClassVar[float] = 0
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    prefer: ClassVar[str] = "prefer rmse when large errors are more than proportionally bad"
    source: ClassVar[str] = "scikit-learn user guide 3.4, root_mean_squared_error"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        truth_N, answer_N = numbers(answers)
        return np.sqrt(mean(weight_RN, (answer_N - truth_N) ** 2))

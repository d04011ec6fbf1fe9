"""Mean absolute error: the mean distance between answer and truth.

mean |answer - truth|, in the unit of the label.
"""

from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import mean, numbers


class Mae(Metric):
    """Mean absolute error: the mean distance between answer and truth."""

    name: Literal["mae"] = "mae"
    kinds: ClassVar[tuple[Kind, ...]] = ("numbers",)
    points: ClassVar[float] = 0
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    prefer: ClassVar[str] = (
        "prefer mae when an error twice as large is twice as bad; it is not moved much by a few wild rows"
    )
    source: ClassVar[str] = "scikit-learn user guide 3.4, mean_absolute_error"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        truth_N, answer_N = numbers(answers)
        return mean(weight_RN, np.abs(answer_N - truth_N))

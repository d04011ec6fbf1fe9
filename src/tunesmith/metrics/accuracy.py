"""Accuracy: the share of rows answered rightly.

sum w [answer = truth] / sum w. A label that the model does not know is wrong.
"""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import classes, mean


class Accuracy(Metric):
    """Accuracy: the share of rows answered rightly."""

    name: Literal["accuracy"] = "accuracy"
    kinds: ClassVar[tuple[Kind, ...]] = ("classes",)
    prefer: ClassVar[str] = "prefer accuracy when classes are about equally frequent and all mistakes cost the same"
    source: ClassVar[str] = "scikit-learn user guide 3.4, accuracy_score"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return mean(weight_RN, self.right(answers).astype(np.float64))

    def right(self, answers: Answers) -> NDArray[np.bool_]:
        """(N,) which rows are right."""
        truth_N, answer_N = classes(answers)
        same_N: NDArray[np.bool_] = truth_N == answer_N
        return same_N

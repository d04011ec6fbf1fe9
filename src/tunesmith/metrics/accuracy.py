"""Accuracy: the share of rows answered rightly.

sum w [answer = truth] / sum w. A label that the model does not know is wrong.
"""

from typing import ClassVar, Literal

import numpy as np

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
        truth_N, answer_N = classes(answers)
        return mean(weight_RN, (truth_N == answer_N).astype(np.float64))

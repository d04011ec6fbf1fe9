"""Subset accuracy: the share of rows whose labels are all right.

sum w [answers = truths in every label] / sum w. scikit-learn calls this accuracy_score of multilabel.
"""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import classes, mean


class SubsetAccuracy(Metric):
    """Subset accuracy: the share of rows whose labels are all right."""

    name: Literal["subset_accuracy"] = "subset_accuracy"
    kinds: ClassVar[tuple[Kind, ...]] = ("multilabel",)
    prefer: ClassVar[str] = "prefer subset_accuracy when a row is of use only if its whole label set is right"
    source: ClassVar[str] = "scikit-learn user guide 3.4, accuracy_score"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return mean(weight_RN, self.right(answers).astype(np.float64))

    def right(self, answers: Answers) -> NDArray[np.bool_]:
        """(N,) which rows are right in every label."""
        truth_NC, answer_NC = classes(answers)
        same_N: NDArray[np.bool_] = (truth_NC == answer_NC).all(1)
        return same_N

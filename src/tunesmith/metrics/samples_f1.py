"""Samples F1: the mean over rows of the F1 between answered and true label sets.

mean over rows 2 |T and A| / (|T| + |A|). A row without labels that is answered with none counts 0, as in scikit-learn
with zero_division=0.
"""

from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import classes, mean, ratio


class SamplesF1(Metric):
    """Samples F1: the mean over rows of the F1 between answered and true label sets."""

    name: Literal["samples_f1"] = "samples_f1"
    kinds: ClassVar[tuple[Kind, ...]] = ("multilabel",)
    prefer: ClassVar[str] = (
        "prefer samples_f1 when a reader judges each row's label set as a whole and half right is half good"
    )
    source: ClassVar[str] = "scikit-learn user guide 3.4, f1_score(average='samples')"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        truth_NC, answer_NC = classes(answers)
        both_N = (truth_NC * answer_NC).sum(1)
        size_N = truth_NC.sum(1) + answer_NC.sum(1)
        return mean(weight_RN, ratio(2 * both_N.astype(np.float64), size_N.astype(np.float64)))

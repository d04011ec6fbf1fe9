"""F1: the harmonic mean of precision and recall of the positive class.

2 TP / (2 TP + FP + FN), 0 where that is 0 / 0.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import cells, ratio


class F1(Metric):
    """F1: the harmonic mean of precision and recall of the positive class."""

    name: Literal["f1"] = "f1"
    kinds: ClassVar[tuple[Kind, ...]] = ("classes",)
    two_classes_only: ClassVar[bool] = True
    prefer: ClassVar[str] = "prefer f1 when positives are rare and true negatives are of no interest"
    source: ClassVar[str] = "van Rijsbergen 1979, Information Retrieval"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        tp, fp, fn, _ = cells(answers, weight_RN, self.name)
        return ratio(2 * tp, 2 * tp + fp + fn)

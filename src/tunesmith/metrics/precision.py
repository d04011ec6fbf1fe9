"""Precision: the share of positive answers that is right.

TP / (TP + FP), 0 without positive answers.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import cells, ratio


class Precision(Metric):
    """Precision: the share of positive answers that is right."""

    name: Literal["precision"] = "precision"
    kinds: ClassVar[tuple[Kind, ...]] = ("classes",)
    two_classes_only: ClassVar[bool] = True
    prefer: ClassVar[str] = "prefer precision when a false alarm is the costly mistake; read it beside recall"
    source: ClassVar[str] = "scikit-learn user guide 3.4, precision_score"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        tp, fp, _, _ = cells(answers, weight_RN, self.name)
        return ratio(tp, tp + fp)

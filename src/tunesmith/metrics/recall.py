"""Recall: the share of positive rows that is found.

TP / (TP + FN), 0 without positive rows.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import cells, ratio


class Recall(Metric):
    """Recall: the share of positive rows that is found."""

    name: Literal["recall"] = "recall"
    kinds: ClassVar[tuple[Kind, ...]] = ("classes",)
    two_classes_only: ClassVar[bool] = True
    prefer: ClassVar[str] = "prefer recall when a missed positive is the costly mistake; read it beside precision"
    source: ClassVar[str] = "scikit-learn user guide 3.4, recall_score"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        tp, _, fn, _ = cells(answers, weight_RN, self.name)
        return ratio(tp, tp + fn)

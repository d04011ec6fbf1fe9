"""False-positive rate at a fixed recall: the false alarms to pay for finding that share of the positives.

min FP / (FP + TN) over thresholds of the positive class's score with TP / (TP + FN) >= recall; NaN without positives
or without negatives.
"""

from typing import ClassVar, Literal

from pydantic import Field

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import classes, positive, scores
from tunesmith.metrics._ranks import ranked


class FprAtRecall(Metric):
    """False-positive rate at a fixed recall: the false alarms to pay for finding that share of the positives."""

    name: Literal["fpr_at_recall"] = "fpr_at_recall"
    recall: float = Field(default=0.9, gt=0, le=1)
    """Share of the positives to find."""
    kinds: ClassVar[tuple[Kind, ...]] = ("classes",)
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    two_classes_only: ClassVar[bool] = True
    prefer: ClassVar[str] = (
        "prefer fpr_at_recall when a minimum recall is required and the load of false alarms is the question"
    )
    source: ClassVar[str] = "Ghafoorian et al. 2017; point of the ROC curve at a fixed true-positive rate"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        yes = positive(answers, self.name)
        score_N = scores(answers, self.name)[:, yes]
        return ranked(weight_RN, score_N, classes(answers)[0] == yes, lambda steps: steps.fpr_at(self.recall))

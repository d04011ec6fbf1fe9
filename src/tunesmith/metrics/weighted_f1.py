"""Weighted F1: the mean of the classes' F1, weighted by how often each class is true.

sum truths F1 / sum truths, 0 where nothing is true.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import counts, ratio


class WeightedF1(Metric):
    """Weighted F1: the mean of the classes' F1, weighted by how often each class is true."""

    name: Literal["weighted_f1"] = "weighted_f1"
    kinds: ClassVar[tuple[Kind, ...]] = ("classes", "multilabel")
    prefer: ClassVar[str] = (
        "prefer weighted_f1 only to compare with published numbers; it hides rare classes and may lie outside "
        "precision and recall"
    )
    source: ClassVar[str] = "scikit-learn user guide 3.4, f1_score(average='weighted')"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        found = counts(answers, weight_RN)
        return ratio((found.f1() * found.truth).sum(1), found.truth.sum(1))

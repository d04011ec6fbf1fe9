"""Balanced accuracy: the mean over classes of the share of their rows that is found.

mean of recall over the classes that are true somewhere. A label that the model does not know has recall 0.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import counts, divide


class BalancedAccuracy(Metric):
    """Balanced accuracy: the mean over classes of the share of their rows that is found."""

    name: Literal["balanced_accuracy"] = "balanced_accuracy"
    kinds: ClassVar[tuple[Kind, ...]] = ("classes",)
    prefer: ClassVar[str] = (
        "prefer balanced_accuracy when classes are unequal and finding each class matters equally; macro_f1 also "
        "counts false alarms"
    )
    source: ClassVar[str] = "Brodersen et al. 2010, The balanced accuracy and its posterior distribution"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        found = counts(answers, weight_RN)
        true_RK = found.truth > 0
        return divide((found.recall() * true_RK).sum(1), true_RK.sum(1))

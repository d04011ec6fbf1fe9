"""Macro recall: the mean over classes of the share of their rows that is found.

recall = hits / truths, 0 for a class that is never true. As in scikit-learn, the mean runs over the
classes that are true or answered somewhere; for multilabel over every label, one that never occurs counting 0.
Unlike balanced_accuracy, a class that is answered but never true counts 0.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import counts


class MacroRecall(Metric):
    """Macro recall: the mean over classes of the share of their rows that is found."""

    name: Literal["macro_recall"] = "macro_recall"
    kinds: ClassVar[tuple[Kind, ...]] = ("classes", "multilabel")
    prefer: ClassVar[str] = (
        "prefer macro_recall for multilabel when a missed label is the costly mistake; for classes prefer "
        "balanced_accuracy"
    )
    source: ClassVar[str] = "scikit-learn user guide 3.4, recall_score"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        found = counts(answers, weight_RN)
        return found.macro(found.recall())

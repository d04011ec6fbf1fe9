"""Macro precision: the mean over classes of the share of their answers that is right.

precision = hits / answers, 0 for a class that is never answered. As in scikit-learn, the mean runs over the
classes that are true or answered somewhere; for multilabel over every label, one that never occurs counting 0.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import counts


class MacroPrecision(Metric):
    """Macro precision: the mean over classes of the share of their answers that is right."""

    name: Literal["macro_precision"] = "macro_precision"
    kinds: ClassVar[tuple[Kind, ...]] = ("classes", "multilabel")
    prefer: ClassVar[str] = "prefer macro_precision when a false alarm of any class is the costly mistake"
    source: ClassVar[str] = "scikit-learn user guide 3.4, precision_score"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        found = counts(answers, weight_RN)
        return found.macro(found.precision())

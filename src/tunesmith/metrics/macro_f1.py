"""Macro F1: the mean over classes of the harmonic mean of precision and recall.

F1 = 2 hits / (truths + answers), 0 where both are 0. As in scikit-learn, the mean runs over the
classes that are true or answered somewhere; for multilabel over every label, one that never occurs counting 0.
The mean of F1, not the F1 of the mean precision and recall.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import counts


class MacroF1(Metric):
    """Macro F1: the mean over classes of the harmonic mean of precision and recall."""

    name: Literal["macro_f1"] = "macro_f1"
    kinds: ClassVar[tuple[Kind, ...]] = ("classes", "multilabel")
    prefer: ClassVar[str] = (
        "prefer macro_f1 when classes are unequal and each matters equally; the default for classify"
    )
    source: ClassVar[str] = "Opitz and Burst 2019, Macro F1 and Macro F1 (arXiv 1911.03347)"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        found = counts(answers, weight_RN)
        return found.macro(found.f1())

"""Specificity: the share of negative rows that is left alone.

TN / (TN + FP), 0 without negative rows. It is the recall of the negative class.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import cells, ratio


class Specificity(Metric):
    """Specificity: the share of negative rows that is left alone."""

    name: Literal["specificity"] = "specificity"
    kinds: ClassVar[tuple[Kind, ...]] = ("classes",)
    two_classes_only: ClassVar[bool] = True
    prefer: ClassVar[str] = (
        "prefer specificity beside recall in screening, where precision depends on how frequent positives are"
    )
    source: ClassVar[str] = "Yerushalmy 1947, Statistical problems in assessing methods of medical diagnosis"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        _, fp, _, tn = cells(answers, weight_RN, self.name)
        return ratio(tn, tn + fp)

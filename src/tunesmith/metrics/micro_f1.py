"""Micro F1: precision and recall of all decisions pooled.

2 sum hits / (sum truths + sum answers). For classes it equals accuracy; it says more for multilabel.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import counts, ratio


class MicroF1(Metric):
    """Micro F1: precision and recall of all decisions pooled."""

    name: Literal["micro_f1"] = "micro_f1"
    kinds: ClassVar[tuple[Kind, ...]] = ("classes", "multilabel")
    prefer: ClassVar[str] = (
        "prefer micro_f1 for multilabel when each decision counts equally, so that frequent labels dominate"
    )
    source: ClassVar[str] = "scikit-learn user guide 3.4, f1_score(average='micro')"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        found = counts(answers, weight_RN)
        return ratio(2 * found.hit.sum(1), (found.truth + found.answer).sum(1))

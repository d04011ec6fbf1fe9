"""Hamming loss: the share of single label decisions that are wrong.

mean over rows and labels [answer != truth]. With few labels a row it is small even for a model that answers nothing.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import classes, mean


class HammingLoss(Metric):
    """Hamming loss: the share of single label decisions that are wrong."""

    name: Literal["hamming_loss"] = "hamming_loss"
    kinds: ClassVar[tuple[Kind, ...]] = ("multilabel",)
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    prefer: ClassVar[str] = (
        "prefer hamming_loss when each wrong label costs the same; read it beside the baseline that answers nothing"
    )
    source: ClassVar[str] = "scikit-learn user guide 3.4, hamming_loss"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        truth_NC, answer_NC = classes(answers)
        return mean(weight_RN, (truth_NC != answer_NC).mean(1))

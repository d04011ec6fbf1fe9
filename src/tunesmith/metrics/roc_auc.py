"""Area under the ROC curve: how likely a positive row outranks a negative one.

P(s+ > s-) + P(s+ = s-) / 2. Two classes: the positive one. More classes: each against the rest, plain mean;
multilabel: plain mean over labels. Classes without positives or without negatives are left out of the mean, where
scikit-learn answers NaN; NaN if none is left.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._ranks import Steps, one_against_rest


class RocAuc(Metric):
    """Area under the ROC curve: how likely a positive row outranks a negative one."""

    name: Literal["roc_auc"] = "roc_auc"
    kinds: ClassVar[tuple[Kind, ...]] = ("classes", "multilabel")
    prefer: ClassVar[str] = (
        "prefer roc_auc to judge a ranking when no threshold is chosen yet and classes are not very unequal"
    )
    source: ClassVar[str] = "Hand and Till 2001; Fawcett 2006, An introduction to ROC analysis"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return one_against_rest(answers, weight_RN, Steps.auc, self.name, empty=None)

"""Average precision: the area under the precision-recall curve, as a step function.

sum over thresholds (growth of recall) x precision. Two classes: the positive one. More classes: each against the rest,
plain mean over the classes that are true somewhere; multilabel: plain mean over labels. The positive class of two, or
a label of multilabel, that no row has counts 0, as in scikit-learn.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._ranks import Steps, one_against_rest


class AveragePrecision(Metric):
    """Average precision: the area under the precision-recall curve, as a step function."""

    name: Literal["average_precision"] = "average_precision"
    kinds: ClassVar[tuple[Kind, ...]] = ("classes", "multilabel")
    prefer: ClassVar[str] = "prefer average_precision to roc_auc when positives are rare"
    source: ClassVar[str] = "Davis and Goadrich 2006, The relationship between precision-recall and ROC curves"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return one_against_rest(answers, weight_RN, Steps.average_precision, self.name, empty=0.0)

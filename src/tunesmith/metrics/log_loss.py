"""Log loss: minus the mean logarithm of the probability given to the truth.

-mean ln p(truth), p clipped to [2.2e-16, 1 - 2.2e-16] as in scikit-learn; a label that the model does not know has
probability 0, so such a row costs 36.
"""

from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import classes, mean, scores


class LogLoss(Metric):
    """Log loss: minus the mean logarithm of the probability given to the truth."""

    name: Literal["log_loss"] = "log_loss"
    kinds: ClassVar[tuple[Kind, ...]] = ("classes",)
    points: ClassVar[float] = 0
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    prefer: ClassVar[str] = (
        "prefer log_loss to choose between models whose probabilities are used; one confident mistake weighs much"
    )
    source: ClassVar[str] = "Good 1952, Rational decisions"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        score_NC = scores(answers, self.name)
        truth_N, _ = classes(answers)
        given_N = np.where(truth_N >= 0, score_NC[np.arange(len(truth_N)), truth_N], 0.0)
        least = np.finfo(np.float64).eps
        return mean(weight_RN, -np.log(np.clip(given_N, least, 1 - least)))

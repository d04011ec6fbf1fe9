"""Brier score: the mean squared distance between probabilities and truth.

Two classes: mean (p - y)^2 of one class, from 0 to 1. More: mean of sum over classes (p_c - y_c)^2, from 0 to 2.
Both are scikit-learn's default. A label that the model does not know is a further class of probability 0.
"""

from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import classes, mean, scores


class Brier(Metric):
    """Brier score: the mean squared distance between probabilities and truth."""

    name: Literal["brier"] = "brier"
    kinds: ClassVar[tuple[Kind, ...]] = ("classes",)
    points: ClassVar[float] = 0
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    prefer: ClassVar[str] = (
        "prefer brier for the quality of probabilities when a single confident mistake should not dominate, as in "
        "log_loss"
    )
    source: ClassVar[str] = "Brier 1950, Verification of forecasts expressed in terms of probability"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        score_NC = scores(answers, self.name)
        truth_N, _ = classes(answers)
        distance_N = ((score_NC - (truth_N[:, None] == np.arange(score_NC.shape[1]))) ** 2).sum(1) + (truth_N < 0)
        return mean(weight_RN, distance_N / 2 if score_NC.shape[1] == 2 else distance_N)

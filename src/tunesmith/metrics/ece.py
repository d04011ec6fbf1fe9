"""Expected calibration error: how far confidence and accuracy lie apart.

sum over bins |sum w (right - confidence)| / sum w, where the confidence is that of the answer (top label) and the bins
are equally wide, (0, 1/b] to (1 - 1/b, 1]. With few rows a bin it is biased upward, resamples more so: read its
interval as a bound from above.
"""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import bin_of, confidence, divide, sums


class Ece(Metric):
    """Expected calibration error: how far confidence and accuracy lie apart."""

    name: Literal["ece"] = "ece"
    bins: int = Field(default=15, ge=1)
    """Number of equally wide bins of confidence."""
    kinds: ClassVar[tuple[Kind, ...]] = ("classes",)
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    prefer: ClassVar[str] = (
        "prefer ece beside log_loss to see whether probabilities can be taken at their word; never to choose a model"
    )
    source: ClassVar[str] = "Guo et al. 2017, On calibration of modern neural networks (arXiv 1706.04599)"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        confidence_N, right_N = confidence(answers, self.name)
        gap_RB = sums(weight_RN, bin_of(confidence_N, self.bins), self.bins, right_N - confidence_N)
        return divide(np.abs(gap_RB).sum(1), weight_RN.sum(1))

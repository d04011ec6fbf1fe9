"""Pearson correlation: how far answers and truth move together.

cov(answer, truth) / (sd(answer) sd(truth)).
NaN where one side is constant, as in scipy: the correlation of a constant is not 0, it does not exist. An interval says
how many resamples were undefined.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import numbers
from tunesmith.metrics._ranks import correlate


class Pearson(Metric):
    """Pearson correlation: how far answers and truth move together."""

    name: Literal["pearson"] = "pearson"
    kinds: ClassVar[tuple[Kind, ...]] = ("numbers", "vectors")
    points: ClassVar[float] = 0
    prefer: ClassVar[str] = (
        "prefer pearson when answers should follow the truth on a straight line, whatever its unit; spearman is "
        "steadier"
    )
    source: ClassVar[str] = "Pearson 1895, Note on regression and inheritance"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        truth_N, answer_N = numbers(answers)
        return correlate(weight_RN, truth_N, answer_N, ranked=False)

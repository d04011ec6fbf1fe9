"""Spearman correlation: how far ranks of answers and truth move together.

Pearson correlation of the ranks, equal values sharing their mean rank; a row that counts w times is w equal rows.
NaN where one side is constant, as in scipy: the correlation of a constant is not 0, it does not exist. An interval says
how many resamples were undefined.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import numbers
from tunesmith.metrics._ranks import correlate


class Spearman(Metric):
    """Spearman correlation: how far ranks of answers and truth move together."""

    name: Literal["spearman"] = "spearman"
    kinds: ClassVar[tuple[Kind, ...]] = ("numbers", "vectors")
    points: ClassVar[float] = 0
    prefer: ClassVar[str] = (
        "prefer spearman when the order of the answers matters and their scale does not, as for similarity"
    )
    source: ClassVar[str] = "Spearman 1904, The proof and measurement of association between two things"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        truth_N, answer_N = numbers(answers)
        return correlate(weight_RN, truth_N, answer_N, ranked=True)

"""Distinct-2: how many of the pairs of neighbouring words in all answers are different ones.

number of different pairs / number of pairs, over all answers together, no pair across two answers, in lower case;
Chinese and Japanese by characters. It falls with the number and the length of the answers, so compare on the same rows
alone. Resamples repeat rows, and repeated rows hold nothing new: the interval lies below the value, as for ece. High
values are no merit (noise is diverse), so it picks no weights.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._distinct import distinct


class Distinct2(Metric):
    """Distinct-2: the share of different ones among the pairs of neighbouring words of all answers."""

    name: Literal["distinct_2"] = "distinct_2"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    reads_text: ClassVar[bool] = True
    picks: ClassVar[bool] = False
    prefer: ClassVar[str] = "prefer distinct_2 to distinct_1 for long answers, where all common words occur anyway"
    source: ClassVar[str] = (
        "Li et al. 2016, A diversity-promoting objective function for neural conversation models (arXiv 1510.03055)"
    )

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return distinct(answers, weight_RN, 2)

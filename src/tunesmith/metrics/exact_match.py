"""Exact match: the share of answers that equal a reference, once case, punctuation and articles are put aside.

mean over rows of max over references [normalised answer = normalised reference]. Normalised as in SQuAD; for Chinese
and Japanese references all punctuation and spaces are put aside and articles are kept. A reference of which nothing is
left, such as the choice "A", is compared as it is.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._squad import exact
from tunesmith.metrics._texts import best_mean


class ExactMatch(Metric):
    """Exact match: the share of answers that equal a reference but for case, punctuation and articles."""

    name: Literal["exact_match"] = "exact_match"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    reads_text: ClassVar[bool] = True
    prefer: ClassVar[str] = "prefer exact_match for short answers that are right or wrong: labels, names, phrases"
    source: ClassVar[str] = (
        "Rajpurkar et al. 2016, SQuAD (arXiv 1606.05250); Cui et al. 2019, CMRC 2018 (arXiv 1810.07366) for Chinese"
    )

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return best_mean(answers, weight_RN, self.name, exact)

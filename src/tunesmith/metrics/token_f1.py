"""Token F1: how far the words of answer and reference overlap, order put aside.

mean over rows of max over references 2 |both| / (|answer| + |reference|), tokens counted as often as they occur. Words
as in SQuAD (lower case, no punctuation, no articles); for Chinese and Japanese references characters, and words of
other writings. Where one side has no token: 1 if both are equal, else 0.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._squad import overlap
from tunesmith.metrics._texts import best_mean


class TokenF1(Metric):
    """Token F1: how far the words of answer and reference overlap, order put aside."""

    name: Literal["token_f1"] = "token_f1"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    reads_text: ClassVar[bool] = True
    prefer: ClassVar[str] = "prefer token_f1 beside exact_match for answers of a few words, where nearly right counts"
    source: ClassVar[str] = (
        "Rajpurkar et al. 2016, SQuAD (arXiv 1606.05250); Cui et al. 2019, CMRC 2018 (arXiv 1810.07366) for Chinese"
    )

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return best_mean(answers, weight_RN, self.name, overlap)

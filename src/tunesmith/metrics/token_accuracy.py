"""Token accuracy: the share of the reference's tokens that the model holds most likely, given the true ones before.

number of tokens that are the argmax / number of tokens, over all rows. It says nothing of text the model continues by
itself, where one wrong token leads to others.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._texts import HITS, TOKENS, per


class TokenAccuracy(Metric):
    """Token accuracy: the share of the reference's tokens that the model holds most likely."""

    name: Literal["token_accuracy"] = "token_accuracy"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    prefer: ClassVar[str] = "prefer token_accuracy as a figure anyone can read beside perplexity, while training"
    source: ClassVar[str] = "teacher-forced accuracy: Williams and Zipser 1989, A learning algorithm for networks"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return per(answers, weight_RN, HITS, TOKENS, self.name)

"""Token accuracy: the share of tokens that the model answers right.

Of texts, those of the reference's tokens that it holds most likely, given the true ones before; of tags, words with
the right one.

number of tokens that are the argmax / number of tokens, over all rows. It says nothing of text the model continues by
itself, where one wrong token leads to others.
"""

from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._texts import HITS, TOKENS, per


class TokenAccuracy(Metric):
    """Token accuracy: the share of tokens (of tags: of words) that the model answers right."""

    name: Literal["token_accuracy"] = "token_accuracy"
    kinds: ClassVar[tuple[Kind, ...]] = ("text", "tags")
    prefer: ClassVar[str] = "prefer token_accuracy as a figure anyone can read beside perplexity, while training"
    source: ClassVar[str] = "teacher-forced accuracy: Williams and Zipser 1989, A learning algorithm for networks"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        if answers.words is not None:
            right_M, offsets = answers.truth == answers.predicted, answers.words.offsets
            right_N = np.diff(np.concatenate([[0], np.cumsum(right_M)])[offsets])
            words_R = weight_RN @ answers.words.counts
            made: Floats = np.divide(weight_RN @ right_N, words_R, out=np.full(len(words_R), np.nan), where=words_R > 0)
            return made
        return per(answers, weight_RN, HITS, TOKENS, self.name)

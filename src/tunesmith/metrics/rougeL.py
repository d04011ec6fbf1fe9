"""ROUGE-L: the longest sequence of words that answer and reference have in common, gaps allowed.

mean over rows of max over references 2 LCS / (|answer| + |reference|), the text as one line. Equal to rouge-score
without stemmer for texts in Latin letters; Chinese and Japanese are taken by characters.
"""  # noqa: N999 - the name that everybody knows

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._rouge import of_subsequence, rouge


class RougeL(Metric):
    """ROUGE-L: F1 of the longest sequence of words that answer and reference have in common, gaps allowed."""

    name: Literal["rougeL"] = "rougeL"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    reads_text: ClassVar[bool] = True
    prefer: ClassVar[str] = "prefer rougeL for answers of a sentence or two, and as the one ROUGE to read"
    source: ClassVar[str] = "Lin 2004, ROUGE: a package for automatic evaluation of summaries, section 3.1"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return rouge(answers, weight_RN, self.name, of_subsequence)

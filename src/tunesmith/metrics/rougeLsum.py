"""ROUGE-Lsum: longest common sequences of words line by line, joined; for summaries of several sentences.

mean over rows of max over references 2 |union of LCS| / (|answer| + |reference|). Lines are sentences only if the texts
have one a line; without line breaks it is rougeL but for ties. Equal to rouge-score without stemmer for texts in Latin
letters; Chinese and Japanese are taken by characters.
"""  # noqa: N999 - the name that everybody knows

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._rouge import of_lines, rouge


class RougeLsum(Metric):
    """ROUGE-Lsum: F1 of the longest common sequences of words, line by line and joined."""

    name: Literal["rougeLsum"] = "rougeLsum"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    reads_text: ClassVar[bool] = True
    prefer: ClassVar[str] = "prefer rougeLsum for summaries of several sentences written one a line"
    source: ClassVar[str] = "Lin 2004, ROUGE: a package for automatic evaluation of summaries, section 3.2"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return rouge(answers, weight_RN, self.name, of_lines)

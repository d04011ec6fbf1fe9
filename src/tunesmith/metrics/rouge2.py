"""ROUGE-2: how far the pairs of neighbouring words of answer and reference overlap.

mean over rows of max over references 2 |both| / (|answer| + |reference|), counted as often as they occur. Equal to
rouge-score without stemmer for texts in Latin letters; Chinese and Japanese are taken by characters.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._rouge import of_runs, rouge


class Rouge2(Metric):
    """ROUGE-2: F1 of the pairs of neighbouring words of answer and reference."""

    name: Literal["rouge2"] = "rouge2"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    reads_text: ClassVar[bool] = True
    prefer: ClassVar[str] = (
        "prefer rouge2 for summaries compared with published numbers; it asks for order and is hard on paraphrase"
    )
    source: ClassVar[str] = "Lin 2004, ROUGE: a package for automatic evaluation of summaries, section 2"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return rouge(answers, weight_RN, self.name, lambda said, reference: of_runs(said, reference, 2))

"""Word error rate: words inserted, deleted and replaced, by the words of the reference.

sum over rows of edits / sum over rows of words. Words are what stands between spaces; case and punctuation count.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._errors import rate


class Wer(Metric):
    """Word error rate: words inserted, deleted and replaced, by the words of the reference."""

    name: Literal["wer"] = "wer"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    reads_text: ClassVar[bool] = True
    prefer: ClassVar[str] = "prefer wer for speech in languages that write spaces; cer where they write none"
    source: ClassVar[str] = "Levenshtein 1966, Binary codes capable of correcting deletions, insertions, and reversals"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return rate(answers, weight_RN, self.name, str.split)

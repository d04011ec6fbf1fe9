"""Character error rate: characters inserted, deleted and replaced, by the characters of the reference.

sum over rows of edits / sum over rows of characters. Characters are Unicode code points; a run of spaces is one.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._errors import rate


class Cer(Metric):
    """Character error rate: characters inserted, deleted and replaced, by the characters of the reference."""

    name: Literal["cer"] = "cer"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    reads_text: ClassVar[bool] = True
    prefer: ClassVar[str] = "prefer cer for speech in Chinese and Japanese, and for single words and digits"
    source: ClassVar[str] = "Levenshtein 1966, Binary codes capable of correcting deletions, insertions, and reversals"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return rate(answers, weight_RN, self.name, _characters)


def _characters(text: str) -> str:
    return " ".join(text.split())

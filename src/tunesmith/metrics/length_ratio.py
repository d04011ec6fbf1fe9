"""Length ratio: tokens of the answers by tokens of the references, over all rows.

sum of answered tokens / sum of reference tokens, of several references the one nearest in length; sacreBLEU's "ratio",
with the tokens of `bleu`. 1 is right. Neither more nor less is better by itself, so it picks no weights.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import divide
from tunesmith.metrics._sacrebleu import signature, totals
from tunesmith.metrics.bleu import counter


class LengthRatio(Metric):
    """Length ratio: tokens of the answers by tokens of the references; 1 is right."""

    name: Literal["length_ratio"] = "length_ratio"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    points: ClassVar[float] = 0
    reads_text: ClassVar[bool] = True
    picks: ClassVar[bool] = False
    prefer: ClassVar[str] = (
        "prefer length_ratio beside every other metric of text: far above 1 the model does not stop, far below it "
        "leaves things out"
    )
    source: ClassVar[str] = "Papineni et al. 2002, BLEU; sacreBLEU's ratio of system to reference length"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        total_RK = totals(answers, weight_RN, "bleu", counter)
        return divide(total_RK[:, 0], total_RK[:, 1])

    def signature(self, answers: Answers) -> str:
        """sacreBLEU's signature, for the tokenizer."""
        return signature(answers, "bleu", counter)

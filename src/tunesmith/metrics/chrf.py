"""chrF: F-score of runs of one to six characters, recall weighing double; 0 to 100, of a whole corpus.

Precision and recall of each order are averaged over the orders that occur on both sides, and
chrF = 5 P R / (4 P + R). Of several references the best for each row. Equal to sacreBLEU's corpus score (chrF2, spaces
left out). It needs no tokenizer, so it is the same measure for Chinese, English and anything else.
"""

from typing import Any, ClassVar, Literal

import numpy as np

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import ratio
from tunesmith.metrics._language import Script
from tunesmith.metrics._sacrebleu import signature, totals


class Chrf(Metric):
    """chrF: F-score of runs of one to six characters, recall weighing double, 0 to 100."""

    name: Literal["chrf"] = "chrf"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    points: ClassVar[float] = 1
    reads_text: ClassVar[bool] = True
    prefer: ClassVar[str] = (
        "prefer chrf as the first metric of generated text in any language: it needs no tokenizer and gives half a "
        "word half its due"
    )
    source: ClassVar[str] = "Popović 2015, chrF: character n-gram F-score for automatic MT evaluation"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return np.where(weight_RN.sum(1) > 0, score(totals(answers, weight_RN, "chrf", counter)), np.nan)

    def signature(self, answers: Answers) -> str:
        """sacreBLEU's signature: number of references, case, orders, spaces, version."""
        return signature(answers, "chrf", counter)


def counter(script: Script) -> Any:
    """sacreBLEU's chrF; counts are [n-grams answered, n-grams of the reference, matches] for each order."""
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


def score(total_RK: Floats) -> Floats:
    """sacreBLEU's _compute_f_score with its defaults, for R sums of counts at once."""
    said_RO, wanted_RO, match_RO = total_RK[:, 0::3], total_RK[:, 1::3], total_RK[:, 2::3]
    both_RO = (said_RO > 0) & (wanted_RO > 0)
    orders_R = both_RO.sum(1).astype(np.float64)
    precision_R = ratio((ratio(match_RO, said_RO) * both_RO).sum(1), orders_R)
    recall_R = ratio((ratio(match_RO, wanted_RO) * both_RO).sum(1), orders_R)
    return 100 * ratio(5 * precision_R * recall_R, 4 * precision_R + recall_R)

"""Translation edit rate: edits that turn the answers into the references, in percent of the references' tokens.

100 edits / tokens. Edits insert, delete and replace a token or move a run of them; of several references the cheapest
for each row, and their mean length. Equal to sacreBLEU's corpus score: for text with spaces with its defaults (tokens
at spaces, no case), for Chinese and Japanese with normalised punctuation and one token a character, as `signature`
tells. More than 100 where answers are much too long; slow for long texts, where moves are tried one by one.
"""

from typing import Any, ClassVar, Literal

import numpy as np

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import ratio
from tunesmith.metrics._language import Script
from tunesmith.metrics._sacrebleu import signature, totals


class Ter(Metric):
    """Translation edit rate: edits and moves that turn the answers into the references, in percent of their tokens."""

    name: Literal["ter"] = "ter"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    points: ClassVar[float] = 1
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    reads_text: ClassVar[bool] = True
    prefer: ClassVar[str] = "prefer ter when somebody corrects the answers by hand and the work left over is the cost"
    source: ClassVar[str] = "Snover et al. 2006, A study of translation edit rate with targeted human annotation"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        total_R2 = totals(answers, weight_RN, "ter", counter)
        edits_R, tokens_R = total_R2[:, 0], total_R2[:, 1]
        # Without any token in the references sacreBLEU says 100 for answers that are not empty.
        value_R = np.where(tokens_R > 0, 100 * ratio(edits_R, tokens_R), 100.0 * (edits_R > 0))
        return np.where(weight_RN.sum(1) > 0, value_R, np.nan)

    def signature(self, answers: Answers) -> str:
        """sacreBLEU's signature: number of references, case, normalisation, version."""
        return signature(answers, "ter", counter)


def counter(script: Script) -> Any:
    """sacreBLEU's TER; counts are [edits, mean length of the references]."""
    from sacrebleu.metrics.ter import TER

    return TER() if script == "other" else TER(normalized=True, asian_support=True)

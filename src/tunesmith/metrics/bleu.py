"""BLEU: how much of the answers' runs of one to four tokens is found in the references; 0 to 100, of a whole corpus.

min(1, exp(1 - r / a)) (p1 p2 p3 p4)^(1/4), where p_n is the share of the answers' n-grams that a reference holds, a the
tokens answered and r those of the references (of several the one nearest in length). An order without a match counts
half a match, a quarter, ... in turn (smoothing "exp"). Equal to sacreBLEU's corpus score. Tokens by the writing of the
references: `zh` (characters) for Chinese, `char` for Japanese, else `13a`; `signature` tells. 0 where no answer has
four tokens: BLEU is made for sentences.
"""

from typing import Any, ClassVar, Literal

import numpy as np

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._language import Script
from tunesmith.metrics._sacrebleu import signature, totals

TOKENIZERS: dict[Script, str] = {"chinese": "zh", "japanese": "char", "other": "13a"}


class Bleu(Metric):
    """BLEU: the share of the answers' runs of one to four tokens that a reference holds, 0 to 100."""

    name: Literal["bleu"] = "bleu"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    points: ClassVar[float] = 1
    reads_text: ClassVar[bool] = True
    prefer: ClassVar[str] = (
        "prefer bleu to compare translations or data-to-text with published numbers, always with its signature; chrf "
        "is kinder to short answers and to rich morphology"
    )
    source: ClassVar[str] = (
        "Papineni et al. 2002, BLEU; Post 2018, A call for clarity in reporting BLEU scores (arXiv 1804.08771)"
    )

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return np.where(weight_RN.sum(1) > 0, score(totals(answers, weight_RN, "bleu", counter)), np.nan)

    def signature(self, answers: Answers) -> str:
        """sacreBLEU's signature: number of references, case, tokenizer, smoothing, version."""
        return signature(answers, "bleu", counter)


def counter(script: Script) -> Any:
    """sacreBLEU's BLEU; counts are [tokens answered, tokens of references, 4 of matches, 4 of n-grams answered]."""
    from sacrebleu.metrics.bleu import BLEU

    # force: without it sacreBLEU warns of answers that end in " .", and changes nothing
    return BLEU(tokenize=TOKENIZERS[script], force=True)


def score(total_RK: Floats) -> Floats:
    """sacreBLEU's compute_bleu with its defaults, for R sums of counts at once."""
    said_R, wanted_R, match_R4, gram_R4 = total_RK[:, 0], total_RK[:, 1], total_RK[:, 2:6], total_RK[:, 6:]
    defined_R = (gram_R4 > 0).all(1) & (match_R4 > 0).any(1)
    missed_R4 = match_R4 == 0
    smoothed_R4 = np.where(missed_R4, 0.5 ** np.cumsum(missed_R4, axis=1), match_R4)
    log_R4 = np.log(100 * smoothed_R4 / np.where(gram_R4 > 0, gram_R4, 1.0))
    short_R = defined_R & (said_R < wanted_R)
    brevity_R = np.where(short_R, 1 - wanted_R / np.where(short_R, said_R, 1.0), 0.0)
    return np.where(defined_R, np.exp(np.where(defined_R, brevity_R + log_R4.mean(1), 0.0)), 0.0)

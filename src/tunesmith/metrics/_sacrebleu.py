"""Match counts of each row by sacreBLEU's own functions: sums of them are all that a corpus score needs.

A resample is then one matrix product and a closed formula, and equals sacreBLEU's score of the rows repeated.
Shape letters: R resamples, N rows, K counts.
"""

from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import numpy as np

from tunesmith.metrics import Answers, Floats
from tunesmith.metrics._language import Script, script_of
from tunesmith.metrics._texts import once, pairs

Make = Callable[[Script], Any]
"""The sacreBLEU metric for a writing."""


def totals(answers: Answers, weight_RN: Floats, key: str, make: Make) -> Floats:
    """Sums (R, K) of the rows' counts, as often as each row counts; K as in sacreBLEU's metric."""
    count_NK, _ = _counted(answers, key, make)
    total_RK: Floats = weight_RN @ count_NK
    return total_RK


def signature(answers: Answers, key: str, make: Make) -> str:
    """sacreBLEU's own words on how it counted: references, case, tokenizer, smoothing, version."""
    return _counted(answers, key, make)[1]


def writing(answers: Answers) -> Script:
    """The writing of all references together: a corpus has one tokenizer."""
    return once(answers, "writing", lambda: script_of(text for refs, _ in pairs(answers) for text in refs))


def _counted(answers: Answers, key: str, make: Make) -> tuple[Floats, str]:
    return once(answers, key, lambda: _count(answers, make(writing(answers))))


def _count(answers: Answers, metric: Any) -> tuple[Floats, str]:
    found = pairs(answers)
    if not found:  # sacreBLEU refuses an empty corpus; the counts of one reference for nothing give the width
        width = len(metric._extract_corpus_statistics([""], [[""]])[0])
        return np.zeros((0, width)), ""
    # sacreBLEU takes references by their number: the first of every row, the second of every row, None where missing.
    references = [list(column) for column in zip_longest(*(refs for refs, _ in found))]
    counted = metric._extract_corpus_statistics([said for _, said in found], references)
    return np.array(counted, dtype=np.float64), str(metric.get_signature())

"""How many different runs of tokens a set of answers holds: a count that is no sum over rows.

Shape letters: R resamples, N rows, G different runs.
"""

from typing import Any

import numpy as np

from tunesmith.metrics import Answers, Floats
from tunesmith.metrics._counts import chunks, divide, turned
from tunesmith.metrics._language import units
from tunesmith.metrics._texts import once, pairs


def distinct(answers: Answers, weight_RN: Floats, length: int) -> Floats:
    """Different runs of `length` tokens by all of them, each (R,); NaN where there is none."""
    holds_GN, count_N = once(answers, f"distinct {length}", lambda: _runs(answers, length))
    seen_R = np.zeros(len(weight_RN))
    for part in chunks(len(weight_RN), max(holds_GN.shape)):
        present_NR = turned((weight_RN[part] > 0).astype(np.float64))
        seen_R[part] = (holds_GN @ present_NR > 0).sum(0)
    return divide(seen_R, weight_RN @ count_N)


def _runs(answers: Answers, length: int) -> tuple[Any, Floats]:
    """Which row holds which run (G, N), sparse, and how many runs each row has."""
    from scipy.sparse import csr_array

    number: dict[tuple[str, ...], int] = {}
    run: list[int] = []
    row: list[int] = []
    found = pairs(answers)
    count_N = np.zeros(len(found))
    for place, (_, said) in enumerate(found):
        tokens = units(said.lower())
        runs = list(zip(*(tokens[start:] for start in range(length)), strict=False))
        count_N[place] = len(runs)
        once_each = dict.fromkeys(runs)
        run.extend(number.setdefault(each, len(number)) for each in once_each)
        row.extend([place] * len(once_each))
    shape = (len(number), len(found))
    return csr_array((np.ones(len(run)), (run, row)), shape=shape), count_N

"""What metrics of pairs share: the columns of the scores, and which side should win.

Shape letters: R resamples, N rows.
"""

import numpy as np

from tunesmith.errors import TunesmithError
from tunesmith.metrics import Answers, Floats

FIRST, SECOND, FIRST_TOKENS, SECOND_TOKENS, FIRST_REFERENCE, SECOND_REFERENCE, FIRST_REWARD, SECOND_REWARD = range(8)
"""Columns of the scores of kind pairs."""
UNTOLD = [FIRST, SECOND, FIRST_REFERENCE, SECOND_REFERENCE]
"""Those that are NaN where answers are scored by a head and not by how likely they are."""


def column(answers: Answers, which: int, name: str) -> Floats:
    """One column of the scores, (N,)."""
    if answers.scores is None:
        raise TunesmithError(f"{name}: needs log-probabilities and rewards, and these answers hold none; score the "
                             "answers with a model (task prefer)")  # fmt: skip
    return answers.scores[:, which]


def margins(answers: Answers, name: str) -> Floats:
    """Reward of what should win minus reward of what should lose, (N,)."""
    side_N = np.where(answers.truth.astype(np.int64) == 1, 1.0, -1.0)
    found: Floats = side_N * (column(answers, FIRST_REWARD, name) - column(answers, SECOND_REWARD, name))
    return found


def chosen(answers: Answers) -> Floats:
    """1 where the first answer is a good one, 0 elsewhere, (N,): of pairs everywhere."""
    good_N: Floats = (answers.truth.astype(np.int64) == 1).astype(np.float64)
    return good_N


def won(difference_N: Floats) -> Floats:
    """1 above 0, 0 below, and one half where both are alike, (N,)."""
    share_N: Floats = (np.sign(difference_N) + 1) / 2
    return share_N

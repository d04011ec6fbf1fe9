"""Win rate: the share of pairs whose better answer the model is more likely to write.

sum w [ln p(chosen) > ln p(rejected)] / sum w, ln p summed over the tokens of an answer, a tie counting one half.
Nothing is compared with the model before training, whose own win rate stands beside as the baseline "untuned": most
models begin well below 1 and stay there, because the longer answer is nearly always the less likely one. Known as
ranking accuracy (Chen et al. 2024). No judge is asked and nothing is written: it is not the win rate of a tournament.
"""

from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import divide
from tunesmith.metrics._pairs import FIRST, SECOND, SECOND_TOKENS, column, won


class WinRate(Metric):
    """Win rate: the share of pairs whose better answer the model is more likely to write."""

    name: Literal["win_rate"] = "win_rate"
    kinds: ClassVar[tuple[Kind, ...]] = ("pairs",)
    prefer: ClassVar[str] = (
        "prefer win_rate to see whether the model would now write the better answer, and not only moved towards it"
    )
    source: ClassVar[str] = (
        "Chen et al. 2024, Preference Learning Algorithms Do Not Learn Preference Rankings, arXiv 2405.19534"
    )

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows; NaN where no row has two answers."""
        two_N = (column(answers, SECOND_TOKENS, self.name) > 0).astype(np.float64)
        difference_N = column(answers, FIRST, self.name) - column(answers, SECOND, self.name)
        side_N = np.where(answers.truth.astype(np.int64) == 1, 1.0, -1.0)
        return divide(weight_RN @ (two_N * won(side_N * difference_N)), weight_RN @ two_N)

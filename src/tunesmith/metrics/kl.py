"""KL estimate: how much likelier the chosen answers are than before training, in nats an answer.

sum w (ln p(chosen) - ln p0(chosen)) / sum w: the estimator k1 of Schulman 2020 for KL(p || p0), on the held-out chosen
answers and not on the model's own, which it would have to write first. So it is negative where training made these
answers less likely, and 0 before training. Of kto over the wanted answers.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import divide
from tunesmith.metrics._pairs import FIRST, FIRST_REFERENCE, chosen, column


class Kl(Metric):
    """KL estimate: how much likelier the chosen answers are than before training, in nats an answer."""

    name: Literal["kl"] = "kl"
    kinds: ClassVar[tuple[Kind, ...]] = ("pairs",)
    points: ClassVar[float] = 0
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    picks: ClassVar[bool] = False
    prefer: ClassVar[str] = (
        "prefer kl beside reward_margin, to see what a margin was paid with: far from 0 the model has moved far"
    )
    source: ClassVar[str] = "Schulman 2020, Approximating KL Divergence, http://joschu.net/blog/kl-approx.html"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows; NaN where no answer is a chosen one."""
        good_N = chosen(answers)
        ratio_N = column(answers, FIRST, self.name) - column(answers, FIRST_REFERENCE, self.name)
        return divide(weight_RN @ (good_N * ratio_N), weight_RN @ good_N)

"""Reward accuracy: the share of pairs whose better answer has the higher reward.

sum w [r(chosen) > r(rejected)] / sum w, a tie counting one half. The reward is the loss's own: beta times the
log-ratio to the model before training (dpo, kto; ipo: a token's on average), or beta times the mean log-probability of
a token (orpo, simpo). Before training every log-ratio is 0 and the value 0.5. Of kto a wanted answer should have a
higher reward than the point of reference (beta times the estimated divergence), an unwanted one a lower.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import mean
from tunesmith.metrics._pairs import margins, won


class RewardAccuracy(Metric):
    """Reward accuracy: the share of pairs whose better answer has the higher reward."""

    name: Literal["reward_accuracy"] = "reward_accuracy"
    kinds: ClassVar[tuple[Kind, ...]] = ("pairs",)
    prefer: ClassVar[str] = (
        "prefer reward_accuracy to pick weights: it is the share of comparisons that the model has learnt to get right"
    )
    source: ClassVar[str] = "Rafailov et al. 2023, https://arxiv.org/abs/2305.18290"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return mean(weight_RN, won(margins(answers, self.name)))

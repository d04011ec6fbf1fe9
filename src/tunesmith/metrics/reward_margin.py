"""Reward margin: by how much the reward of the better answer is higher on average.

sum w (r(chosen) - r(rejected)) / sum w, with the rewards of reward_accuracy: units of beta nats, 0 before training for
losses with a reference. It grows with every epoch, also when nothing more is learnt, so that it picks no weights.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import mean
from tunesmith.metrics._pairs import margins


class RewardMargin(Metric):
    """Reward margin: by how much the reward of the better answer is higher on average."""

    name: Literal["reward_margin"] = "reward_margin"
    kinds: ClassVar[tuple[Kind, ...]] = ("pairs",)
    points: ClassVar[float] = 0
    picks: ClassVar[bool] = False
    prefer: ClassVar[str] = (
        "prefer reward_margin to see whether training moves anything; between losses or betas it cannot be compared"
    )
    source: ClassVar[str] = "Rafailov et al. 2023, https://arxiv.org/abs/2305.18290"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return mean(weight_RN, margins(answers, self.name))

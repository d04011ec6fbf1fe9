"""DANN: a discriminator learns to tell target from source, and the network learns to leave it nothing to go by.

    states (B, H) -> [gradient reversed, times lambda] -> linear -> P(target)
    loss: mean of the binary cross-entropy over the rows of each domain, the mean of both

    lambda(p) = strength * (2 / (1 + exp(-10 p)) - 1)        p: how much of training is done, 0 to 1

The discriminator itself learns at full weight. It belongs to training alone: it is checkpointed, and is no part of the
saved model.
"""

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from tunesmith.penalties import Start, Term
from tunesmith.penalties._domains import Aligning

if TYPE_CHECKING:
    from torch import Tensor, nn


class Dann(Aligning):
    """A discriminator of the two domains is learnt against."""

    name: Literal["dann"] = "dann"
    strength: Annotated[float, Field(gt=0)] = 0.1
    """What lambda rises to. The paper's is 1, with which short runs of a pretrained base come apart (docs/log.md)."""

    prefer: ClassVar[str] = "target rows have no labels at all, and its words or its form differ from the source's"
    source: ClassVar[str] = "Ganin et al. 2016, https://arxiv.org/abs/1505.07818"

    def learns(self, width: int) -> "nn.Module":
        from torch import nn

        critic = nn.Linear(width, 1)
        nn.init.zeros_(critic.weight)  # it begins undecided, and is a function of no random numbers
        nn.init.zeros_(critic.bias)
        return critic

    def begin(self, at: Start) -> Term:
        return _Dann(self.strength, at.beside[self.name])


class _Dann(Term):
    def __init__(self, strength: float, critic: "nn.Module") -> None:
        self.strength, self.critic = strength, critic
        self.own = tuple(critic.parameters())

    def of_states(self, states_BH: "Tensor", target_B: "Tensor", share: float) -> "Tensor":
        return confusion(self.critic(reversed_by(states_BH, self.strength * rise(share)))[:, 0], target_B)


def rise(share: float) -> float:
    """The schedule of lambda, from 0 to almost 1."""
    return 2 / (1 + math.exp(-10 * share)) - 1


def confusion(logits_B: "Tensor", target_B: "Tensor") -> "Tensor":
    """Binary cross-entropy, both domains counting alike; of one domain where a step has no more."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    losses_B = binary_cross_entropy_with_logits(logits_B, target_B.to(logits_B), reduction="none")
    return torch.stack([losses_B[side].mean() for side in (target_B, ~target_B) if side.any()]).mean()


def reversed_by(states: "Tensor", factor: float) -> "Tensor":
    """The states as they are, to the bit; the gradient that comes back is multiplied by -factor."""
    still = states.detach()
    return still + factor * (still - states)

"""Elastic weight consolidation: weights that mattered for old rows are held, others may move.

    strength / 2 * sum_i F_i (w_i - w_i,start)^2        F_i: mean over old rows of (d log p(y | x) / d w_i)^2

F is the diagonal of the Fisher information at the weights that training starts with, by the labels of the old rows
(the empirical Fisher), in evaluation mode, one row at a time. The head is held, too, where its outputs were known.

Kirkpatrick et al. 2017, https://arxiv.org/abs/1612.00796.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from tunesmith.penalties import Penalty, Start, Term

if TYPE_CHECKING:
    from torch import Tensor


class EWC(Penalty):
    """Hold the weights that mattered for old rows."""

    name: Literal["ewc"] = "ewc"
    strength: Annotated[float, Field(gt=0)] = 1000.0
    """The paper's lambda. The Fisher information of a well-learnt row is tiny, so useful values are large."""
    rows: PositiveInt = 200
    """How many old rows the information is estimated on, at most."""

    remembers: ClassVar[bool] = True
    reads_old: ClassVar[bool] = True
    moves: ClassVar[str] = "holds the base's weights where old rows need them"
    prefer: ClassVar[str] = "new rows come in instalments and old ones may be looked at, but not learnt again"
    source: ClassVar[str] = "Kirkpatrick et al. 2017, https://arxiv.org/abs/1612.00796"

    def begin(self, at: Start) -> Term:
        return _EWC(self, at)


class _EWC(Term):
    def __init__(self, asked: EWC, at: Start) -> None:
        self.strength, self.moving = asked.strength, dict(at.moving)
        self.start = {n: p.detach().clone() for n, p in self.moving.items()}
        self.fisher = fisher(self.moving, at.old_losses(asked.rows))

    def of_weights(self) -> "Tensor":
        import torch

        held = [
            (self.fisher[n] * (p - self.start[n]).square()).sum() for n, p in self.moving.items() if p.requires_grad
        ]
        return self.strength / 2 * sum(held, torch.zeros(()))


def fisher(moving: dict[str, Any], losses: Any) -> "dict[str, Tensor]":
    """Mean squared gradient of each weight over `losses`, which gives the loss of one row after the other; of weights
    that thaw later, too."""
    import torch

    found = {n: torch.zeros_like(p) for n, p in moving.items()}
    frozen = [p for p in moving.values() if not p.requires_grad]
    count = 0
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        for loss in losses:
            gradients = torch.autograd.grad(loss, list(moving.values()), allow_unused=True)
            for name, gradient in zip(moving, gradients, strict=True):
                if gradient is not None:
                    found[name] += gradient.square()
            count += 1
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
    return {n: total / max(1, count) for n, total in found.items()}

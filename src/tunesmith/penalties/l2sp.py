"""L2-SP: weights of the base are drawn to where they started, not to zero.

    base / 2 * |w - w_start|^2  +  head / 2 * |v|^2          w: moved weights of the base, v: those of the head

What fine-tuning moves without need is forgotten knowledge; plain weight decay draws to zero, where there is none.

Li, Grandvalet & Davoine 2018, https://arxiv.org/abs/1802.01483 (their alpha and beta).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from tunesmith.penalties import Penalty, Start, Term

if TYPE_CHECKING:
    from torch import Tensor, nn


class L2SP(Penalty):
    """Draw the base's weights to where they started."""

    name: Literal["l2sp"] = "l2sp"
    base: Annotated[float, Field(gt=0)] = 0.01
    """Strength for the base's weights."""
    head: Annotated[float, Field(ge=0)] = 0.01
    """Strength for the head's weights, which are drawn to zero: they started at random."""

    remembers: ClassVar[bool] = True
    moves: ClassVar[str] = "draws the base's weights to where they started"
    prefer: ClassVar[str] = "there are few rows, or the tuned model must not lose what the base knew"
    source: ClassVar[str] = "Li, Grandvalet & Davoine 2018, https://arxiv.org/abs/1802.01483"

    def begin(self, at: Start) -> Term:
        return _L2SP(self, at)


class _L2SP(Term):
    def __init__(self, asked: L2SP, at: Start) -> None:
        self.asked = asked
        self.base: Mapping[str, nn.Parameter] = {n: p for n, p in at.moving.items() if not at.is_head(n)}
        self.head = [p for n, p in at.moving.items() if at.is_head(n)]
        self.start = {n: p.detach().clone() for n, p in self.base.items()}

    def of_weights(self) -> "Tensor":
        import torch

        moved = [(p - self.start[n]).square().sum() for n, p in self.base.items() if p.requires_grad]
        heads = [p.square().sum() for p in self.head] if self.asked.head else []
        zero = torch.zeros(())
        return self.asked.base / 2 * sum(moved, zero) + self.asked.head / 2 * sum(heads, zero)

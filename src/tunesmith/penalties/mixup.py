"""Mixup of texts: a row learns between itself and another row of its step, with the labels of both.

    z = l z_i + (1 - l) z_j,   loss = l loss(z, y_i) + (1 - l) loss(z, y_j)
    l = max(b, 1 - b),   b ~ Beta(alpha, alpha)

in the place of the loss of row i; of numbers the target is l y_i + (1 - l) y_j. z: what the network says of a row. The
output layer is linear, and so are side columns and a second tower beside it: to mix the states that it reads (senMixup)
and to mix what it makes of them is the same. All below runs as it always does, so packed rows and the trunk cache hold.
Of label words their scores are mixed.

Partners and shares are drawn from (seed of the step, the step's rows), and do not depend on how it is cut into passes.
A step of several passes runs twice, once without a graph. The larger share is the row's own, so that an alpha near 0 is
no mixup.

Guo, Mao & Zhang 2019, https://arxiv.org/abs/1905.08941 (texts); Zhang et al. 2018, https://arxiv.org/abs/1710.09412.

Shape letters: B rows of a step, C outputs.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tunesmith.penalties import Penalty, Said, Start, Term

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


class Mixup(Penalty):
    """A row learns between itself and another row of its step, with the labels of both."""

    name: Literal["mixup"] = "mixup"
    alpha: Annotated[float, Field(gt=0, le=10)] = 0.2
    """Of Beta(alpha, alpha), which shares are drawn from: near 0 rows stay themselves, at 1 all are as likely."""

    reads_step: ClassVar[bool] = True
    prefer: ClassVar[str] = "there are few rows or some wrong labels, and answers are too sure; it costs nothing"
    source: ClassVar[str] = "Guo et al. 2019, https://arxiv.org/abs/1905.08941; Zhang et al. 2018, arXiv 1710.09412"

    def objection(self, plan: Any) -> str | None:
        if {"mixup", "cutmix"} & set(getattr(plan.task, "augment", ())):
            return "mixup mixes rows whose images task.augment has mixed already. Keep one of the two"
        if plan.task.two_domains:
            return "mixup mixes the labels of rows, and rows of the target domain have none. Remove it"
        if other := next((p.name for p in plan.penalties if p.reads_outputs), None):
            return f"mixup and {other} both stand in the place of the loss of a row. Keep one of the two"
        if plan.train.batch == 1 and plan.train.batch_tokens is None:
            return "mixup mixes rows of one step, and train.batch is 1. Set it higher, or remove mixup"
        return super().objection(plan)

    def begin(self, at: Start) -> Term:
        return _Mixup(self.alpha, at.kind)


class _Mixup(Term):
    def __init__(self, alpha: float, kind: str) -> None:
        self.alpha, self.kind = alpha, kind

    def of_step(self, said: Said, seed: int) -> "Tensor":
        import torch

        logits_BC, own = said.logits_BC, said.targets
        own = own.to(logits_BC.dtype) if own.is_floating_point() else own
        partner_B, share_B = (torch.from_numpy(each).to(own.device) for each in drawn(said.rows, self.alpha, seed))
        share_B = share_B.to(logits_BC.dtype)
        mixed_BC, other = mixed(logits_BC, logits_BC[partner_B], share_B), own[partner_B]
        if self.kind == "numbers":
            losses_B = said.toward(mixed_BC, mixed(own, other, share_B))
        else:
            losses_B = mixed(said.toward(mixed_BC, own), said.toward(mixed_BC, other), share_B)
        return (losses_B * said.weights_B).sum() - said.loss(logits_BC)  # which the task has counted already


def mixed(one: "Tensor", other: "Tensor", share_B: "Tensor") -> "Tensor":
    """Between rows of one and rows of the other, by the share of the first."""
    share = share_B.reshape(-1, *[1] * (one.dim() - 1))
    return share * one + (1 - share) * other


def drawn(rows: Sequence[int], alpha: float, seed: int) -> "tuple[NDArray[np.int64], NDArray[np.float64]]":
    """(place of the partner of each row among them, share of its own from 1/2 to 1): a function of the seed and of
    which rows there are, whatever their order."""
    generator, order = np.random.default_rng([seed, 5]), np.argsort(rows, kind="stable")
    partner_B, share_B = np.empty(len(rows), np.int64), np.empty(len(rows))
    partner_B[order] = order[generator.permutation(len(rows))]
    share_B[order] = generator.beta(alpha, alpha, len(rows))
    return partner_B, np.maximum(share_B, 1 - share_B)

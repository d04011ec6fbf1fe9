"""PCGrad: where gradients of two tasks oppose each other, each gives up the part that points against the other.

    g_i' = g_i;   for every other task j in random order:   if g_i' . g_j < 0:   g_i' -= (g_i' . g_j / |g_j|^2) g_j
    step: sum_i g_i'

Over what the tasks share (everything but the output layer, whose rows are each one task's). The gradients g_i of a step
are those of its rows task by task, so that the work of a step is the same in more and smaller pieces.

Yu et al. 2020, Gradient Surgery for Multi-Task Learning, https://arxiv.org/abs/2001.06782.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from tunesmith.penalties import Gradients, Penalty, Share, Start, Term

if TYPE_CHECKING:
    from torch import Tensor


class PCGrad(Penalty):
    """Gradients of tasks that oppose each other give up what points against the other."""

    name: Literal["pcgrad"] = "pcgrad"

    of_several: ClassVar[bool] = True
    by_task: ClassVar[bool] = True
    prefer: ClassVar[str] = "the report of a first run shows tasks whose gradients oppose each other (cosine below 0)"
    source: ClassVar[str] = "Yu et al. 2020, https://arxiv.org/abs/2001.06782"

    def begin(self, at: Start) -> Term:
        return _PCGrad(at)


class _PCGrad(Term):
    def __init__(self, at: Start) -> None:
        self.is_shared = at.is_shared
        self.pairs = self.opposed = 0
        """Pairs looked at, and those that opposed each other, since the last report."""

    def among(self, shares: Sequence[Share], seed: int) -> None:
        shared = [{n: g for n, g in each.gradients.items() if self.is_shared(n)} for each in shares]
        for each, own, met, found in zip(shares, *projected(shared, np.random.default_rng([seed, 7])), strict=True):
            each.gradients |= own
            self.pairs, self.opposed = self.pairs + met, self.opposed + found

    def state(self) -> "dict[str, Tensor]":
        import torch

        return {"met": torch.tensor([self.pairs, self.opposed])}

    def restore(self, state: "Mapping[str, Tensor]") -> None:
        self.pairs, self.opposed = (int(n) for n in state["met"])

    def told(self) -> dict[str, float]:
        share, self.pairs, self.opposed = self.opposed / max(1, self.pairs), 0, 0
        return {"opposed": share}


def projected(
    gradients: Sequence[Gradients], order: np.random.Generator
) -> tuple[list[Gradients], list[int], list[int]]:
    """(gradients without what points against another's, pairs looked at and pairs that opposed, task by task)."""
    out, met, opposed = [], [], []
    for i, own in enumerate(gradients):
        made, found = dict(own), 0
        others = [j for j in range(len(gradients)) if j != i]
        for j in order.permutation(others).tolist() if others else ():
            other = gradients[j]
            along = _dot(made, other)
            if along < 0:
                found += 1
                factor = along / max(_dot(other, other), 1e-30)
                made = {n: g - factor * other[n] if n in other else g for n, g in made.items()} | {
                    n: -factor * g for n, g in other.items() if n not in made
                }
        out.append(made)
        met.append(len(others))
        opposed.append(found)
    return out, met, opposed


def _dot(one: Gradients, other: Gradients) -> float:
    return float(sum((one[n].double() * other[n].double()).sum() for n in one if n in other))

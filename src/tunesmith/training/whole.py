"""Terms of what the output layer is given of all rows of a step, which may take several forward passes.

    one pass        the terms are part of its graph
    several         all rows run once without a graph; what the terms want of each row's states and of their own
                    parameters is kept, and each pass adds  sum(states * wanted)

which has the very gradient of the terms over the whole step (the gradient cache of Gao et al. 2021,
https://arxiv.org/abs/2101.06983). Each pass draws its dropout from a seed of its own, both times.

Shape letters: B rows of the step or of a pass, H width.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from tunesmith.training.given import step_seed

if TYPE_CHECKING:
    from torch import Tensor

    from tunesmith.penalties import Term
    from tunesmith.tasks import Encoded


class Whole:
    """The terms of one step."""

    def __init__(self, terms: "Sequence[Term]", encoded: "Encoded", share: float, weight: float, seed: int) -> None:
        """`share`: how much of training is done; `weight`: what the loop divides the sums of the rows by."""
        self.terms, self.encoded, self.share, self.weight, self.seed = terms, encoded, share, weight, seed
        self.wanted: list[Tensor] | None = None
        self.own: list[tuple[torch.nn.Parameter, Tensor]] = []
        self.value = 0.0
        self.passes = 0

    def look(self, way: Any, pieces: list[list[int]]) -> None:
        """Where the step takes several passes: run them all once, and keep what the terms want."""
        if len(pieces) < 2:
            return
        found = []
        for number, piece in enumerate(pieces):
            torch.manual_seed(step_seed(self.seed, number))
            with torch.no_grad():
                found.append(way.told(self.encoded, piece)[1])
        states_BH = torch.cat(found).requires_grad_()
        total = self._total(states_BH, [row for piece in pieces for row in piece])
        own = [p for term in self.terms for p in term.own]
        self.wanted = [torch.zeros_like(part) for part in found]
        if total is not None:
            wants = torch.autograd.grad(total, [states_BH, *own])
            self.wanted = list(torch.split(wants[0], [len(part) for part in found]))
            self.own, self.value = list(zip(own, wants[1:], strict=True)), total.item()

    def begin_pass(self) -> None:
        """Before each pass that has a graph."""
        if self.wanted is not None:
            torch.manual_seed(step_seed(self.seed, self.passes))

    def of_pass(self, states_BH: "Tensor", rows: Sequence[int]) -> "Tensor | None":
        """What the terms add to the summed loss of the rows of this pass; its values add up to theirs."""
        if self.wanted is None:
            total = self._total(states_BH, rows)
            return None if total is None else total * self.weight
        first, wanted_BH = self.passes == 0, self.wanted[self.passes]
        self.passes += 1
        pulled = (states_BH * wanted_BH).sum()
        if first:
            pulled = pulled + sum((p * wants).sum() for p, wants in self.own)
        return (pulled - pulled.detach() + (self.value if first else 0.0)) * self.weight

    def _total(self, states_BH: "Tensor", rows: Sequence[int]) -> "Tensor | None":
        assert self.encoded.target is not None, "rows of two domains"
        target_B = torch.from_numpy(self.encoded.target[list(rows)]).to(states_BH.device)
        found = [term.of_states(states_BH, target_B, self.share) for term in self.terms]
        known = [each for each in found if each is not None]
        return sum(known[1:], known[0]) if known else None

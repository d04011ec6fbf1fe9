"""Terms of what the network says of all rows of a step, which may take several forward passes.

    one pass        the terms are part of its graph
    several         all rows run once without a graph; what the terms want of each row's logits and states and of their
                    own parameters is kept, and each pass adds  sum(what was seen * wanted)

which has the very gradient of the terms over the whole step (the gradient cache of Gao et al. 2021,
https://arxiv.org/abs/2101.06983). Each pass draws its dropout from a seed of its own, both times.

Shape letters: B rows of the step or of a pass, H width, C outputs.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from tunesmith.penalties import Said
from tunesmith.training.given import step_seed

if TYPE_CHECKING:
    from torch import Tensor

    from tunesmith.penalties import Term
    from tunesmith.tasks import Encoded, LogitsTask

    Seen = tuple[Tensor, ...]
    """Logits (B, C) of some rows; where terms look at them, the states (B, H) that these were made of."""


class Heard:
    """A way to run the network that remembers what it said."""

    def __init__(self, task: "LogitsTask", way: Any, *, states: bool) -> None:
        self.task, self.way, self.with_states = task, way, states
        self.last: Seen = ()
        """What it said last."""

    def logits(self, encoded: "Encoded", rows: Sequence[int]) -> "Tensor":
        """As the way says."""
        return self.seen(encoded, rows)[0]

    def seen(self, encoded: "Encoded", rows: Sequence[int]) -> "Seen":
        """All that is listened to, of some rows."""
        self.last = self.way.told(encoded, rows) if self.with_states else (self.way.logits(encoded, rows),)
        return self.last

    def said(self, logits_BC: "Tensor", encoded: "Encoded", rows: Sequence[int]) -> Said:
        """Logits of some rows as terms read them."""
        task, way, (targets, weights_B) = self.task, self.way, encoded.aims(rows, logits_BC.device)
        return Said(
            list(rows), logits_BC, lambda: way.logits(encoded, rows),
            lambda logits: (task.losses(logits, targets) * weights_B).sum(), weights_B,
            lambda logits: task.losses(logits, targets), targets, task.losses,
        )  # fmt: skip


class Whole:
    """The terms of one step."""

    def __init__(self, terms: "Sequence[Term]", encoded: "Encoded", share: float, seed: int, heard: Heard) -> None:
        """`share`: how much of training is done."""
        self.terms, self.encoded, self.share, self.seed, self.heard = terms, encoded, share, seed, heard
        self.weight = 1.0
        """What the loop divides the sums of the rows by."""
        self.wanted: list[Seen] | None = None
        self.own: list[tuple[torch.nn.Parameter, Tensor]] = []
        self.value = 0.0
        self.passes = 0

    def look(self, pieces: list[list[int]]) -> None:
        """Where the step takes several passes: run them all once, and keep what the terms want."""
        self.weight = self.heard.task.weigh(self.encoded, [row for piece in pieces for row in piece])
        if len(pieces) < 2:
            return
        found = []
        for number, piece in enumerate(pieces):
            torch.manual_seed(step_seed(self.seed, number))
            with torch.no_grad():
                found.append(self.heard.seen(self.encoded, piece))
        seen = tuple(torch.cat(each).requires_grad_() for each in zip(*found, strict=True))
        total = self._total(seen, [row for piece in pieces for row in piece])
        own = [p for term in self.terms for p in term.own]
        wants = [torch.zeros_like(each) for each in seen]
        if total is not None:
            given = torch.autograd.grad(total, [*seen, *own], allow_unused=True)
            wants = [zero if want is None else want for zero, want in zip(wants, given, strict=False)]
            self.own = [(p, want) for p, want in zip(own, given[len(seen) :], strict=True) if want is not None]
            self.value = total.item()
        sizes = [len(each[0]) for each in found]
        self.wanted = list(zip(*(torch.split(want, sizes) for want in wants), strict=True))

    def begin_pass(self) -> None:
        """Before each pass that has a graph."""
        if self.wanted is not None:
            torch.manual_seed(step_seed(self.seed, self.passes))

    def of_pass(self, seen: "Seen", rows: Sequence[int]) -> "Tensor | None":
        """What the terms add to the summed loss of the rows of this pass; its values add up to theirs."""
        if self.wanted is None:
            return self._total(seen, rows)
        first, wanted = self.passes == 0, self.wanted[self.passes]
        self.passes += 1
        pulled = torch.stack([(each * want).sum() for each, want in zip(seen, wanted, strict=True)]).sum()
        if first:
            pulled = pulled + sum((p * wants).sum() for p, wants in self.own)
        return pulled - pulled.detach() + (self.value if first else 0.0)

    def _total(self, seen: "Seen", rows: Sequence[int]) -> "Tensor | None":
        said = self.heard.said(seen[0], self.encoded, rows)
        of_step = (term.of_step(said, self.seed) for term in self.terms)
        known = [each for each in of_step if each is not None]
        if len(seen) > 1:
            assert self.encoded.target is not None, "rows of two domains"
            target_B = torch.from_numpy(self.encoded.target[list(rows)]).to(seen[1].device)
            of_states = (term.of_states(seen[1], target_B, self.share) for term in self.terms)
            known += [each * self.weight for each in of_states if each is not None]
        return sum(known[1:], known[0]) if known else None

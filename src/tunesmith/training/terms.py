"""The plan's penalties at work in one loop: what they see of rows, and when they are asked.

Shape letters: B rows, C outputs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tunesmith.bases.family import VisionFamily, plain
from tunesmith.penalties import Said, Start
from tunesmith.training.given import NO_AIDS, Aids
from tunesmith.training.whole import Whole

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tunesmith.model import Model
    from tunesmith.tasks import Encoded, LogitsTask


class Terms:
    """All penalties of a plan, from the weights that training starts with."""

    def __init__(self, model: "Model", moving: "Mapping[str, nn.Parameter]", aids: Aids) -> None:
        self.task = model.plan.task
        at = start_of(model, moving, aids) if model.plan.penalties else None
        self.terms = [penalty.begin(at) for penalty in model.plan.penalties] if at else []
        self.listens = any(penalty.reads_outputs for penalty in model.plan.penalties)
        asked = zip(model.plan.penalties, self.terms, strict=True)
        self.of_states = [term for penalty, term in asked if penalty.reads_states]
        self.whole: Whole | None = None

    @contextmanager
    def within(self, seed: int) -> Iterator[None]:
        """Around everything that computes gradients in a step."""
        with ExitStack() as stack:
            for term in self.terms:
                stack.enter_context(term.within(seed))
            yield

    def face(self, way: Any, encoded: "Encoded", pieces: list[list[int]], share: float, seed: int) -> None:
        """Before the forward passes of a step: what terms must see of all its rows."""
        if self.of_states:
            weight = self.task.weigh(encoded, [row for piece in pieces for row in piece])
            self.whole = Whole(self.of_states, encoded, share, weight, seed)
            self.whole.look(way, pieces)

    def loss(self, way: Any, encoded: "Encoded", rows: Sequence[int]) -> "tuple[Tensor, Tensor | None]":
        """(the task's summed loss of some rows, what penalties add to it)."""
        if not self.listens and self.whole is None:
            return self.task.step_loss(way, encoded, rows), None
        if self.whole is not None:
            self.whole.begin_pass()
        task, heard = cast("LogitsTask", self.task), _Heard(way, states=self.whole is not None)
        loss = task.step_loss(heard, encoded, rows)
        found = [] if self.whole is None else [self.whole.of_pass(heard.states_BH, rows)]
        if self.listens:
            said = _said(task, way, heard.logits_BC, encoded, rows)
            found += [term.of_outputs(said) for term in self.terms]
        return loss, _sum(iter(found))

    def of_weights(self) -> "Tensor | None":
        """What penalties add to the mean loss of a step."""
        return _sum(term.of_weights() for term in self.terms)

    def after(self, again: Callable[[], object]) -> None:
        """The gradients of a step are there."""
        for term in self.terms:
            term.after(again)


class _Heard:
    """A way to run the network that remembers what it said."""

    def __init__(self, way: Any, *, states: bool) -> None:
        self.way, self.with_states = way, states
        self.logits_BC: Tensor
        self.states_BH: Tensor

    def logits(self, encoded: "Encoded", rows: Sequence[int]) -> "Tensor":
        """As the way says."""
        if self.with_states:
            self.logits_BC, self.states_BH = self.way.told(encoded, rows)
        else:
            self.logits_BC = self.way.logits(encoded, rows)
        return self.logits_BC


def _said(task: "LogitsTask", way: Any, logits_BC: "Tensor", encoded: "Encoded", rows: Sequence[int]) -> Said:
    targets, weights_B = encoded.aims(rows, logits_BC.device)
    return Said(
        list(rows), logits_BC, lambda: way.logits(encoded, rows),
        lambda logits: (task.losses(logits, targets) * weights_B).sum(), weights_B,
    )  # fmt: skip


def start_of(model: "Model", moving: "Mapping[str, nn.Parameter]", aids: Aids = NO_AIDS) -> Start:
    """What terms are made from."""
    net: Any = plain(model.net.auto)
    words = [] if isinstance(model.family, VisionFamily) else list(net.get_input_embeddings().parameters())
    names = {n for n, p in moving.items() if any(p is own for own in words)}

    def is_head(name: str) -> bool:
        return not name.startswith("auto.") or model.family.is_head(name.removeprefix("auto."))

    def old_losses(count: int) -> "Iterator[Tensor]":
        encoded = aids.old()
        model.net.eval()
        for row in np.linspace(0, len(encoded) - 1, min(count, len(encoded))).round().astype(int).tolist():
            yield model.plan.task.step_loss(model.shortcuts.plain, encoded, [row])

    beside = {name: model.net.beside[name] for name in model.net.beside}
    return Start(moving, is_head, names.__contains__, model.plan.task.kind, old_losses, aids.taught, beside)


def _sum(found: "Iterator[Tensor | None]") -> "Tensor | None":
    terms = [each for each in found if each is not None]
    return sum(terms[1:], terms[0]) if terms else None

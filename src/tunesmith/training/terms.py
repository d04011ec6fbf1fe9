"""The plan's penalties at work in one loop: what they see of rows, and when they are asked.

Shape letters: B rows, C outputs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tunesmith.bases.family import plain
from tunesmith.errors import TunesmithError
from tunesmith.penalties import Rested, Share, Start
from tunesmith.training.given import NO_AIDS, Aids
from tunesmith.training.whole import Heard, Whole

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tunesmith.model import Model
    from tunesmith.tasks import Encoded, LogitsTask


STATE = "term|"
"""What names in a checkpoint begin with that are terms'."""
Weigh = Callable[[Any], float]
Compute = Callable[[Any, float], tuple[float, float]]


class Terms:
    """All penalties of a plan, from the weights that training starts with."""

    def __init__(
        self, model: "Model", moving: "Mapping[str, nn.Parameter]", aids: Aids, train: "Encoded | None" = None
    ) -> None:
        self.task, self.moving = model.plan.task, moving
        self.at = start_of(model, moving, aids, train) if model.plan.penalties else None
        self.terms = [penalty.begin(self.at) for penalty in model.plan.penalties] if self.at else []
        self.listens = any(penalty.reads_outputs for penalty in model.plan.penalties)
        self.by_task = any(penalty.by_task for penalty in model.plan.penalties)
        asked = zip(model.plan.penalties, self.terms, strict=True)
        self.of_all = [term for penalty, term in asked if penalty.reads_states or penalty.reads_step]
        self.of_states = any(penalty.reads_states for penalty in model.plan.penalties)
        self.whole: Whole | None = None

    def rest(self, model: "Model", train: "Encoded") -> list[str]:
        """Before the first step: show terms what the head reads above a trunk that never moves. Returns what to tell.
        Raises TunesmithError where nothing of it is kept."""
        asked = [(p, t) for p, t in zip(model.plan.penalties, self.terms, strict=True) if p.reads_rested]
        return [line for p, term in asked for line in term.rest(rested(model, train, p.name))]

    @contextmanager
    def within(self, seed: int) -> Iterator[None]:
        """Around everything that computes gradients in a step."""
        with ExitStack() as stack:
            for term in self.terms:
                stack.enter_context(term.within(seed))
            yield

    def face(self, way: Any, encoded: "Encoded", pieces: list[list[int]], share: float, seed: int) -> None:
        """Before the forward passes of a step: what terms must see of all its rows."""
        if self.of_all:
            self.whole = Whole(self.of_all, encoded, share, seed, self._heard(way))
            self.whole.look(pieces)

    def loss(self, way: Any, encoded: "Encoded", rows: Sequence[int]) -> "tuple[Tensor, Tensor | None]":
        """(the task's summed loss of some rows, what penalties add to it)."""
        if not self.listens and self.whole is None:
            return self.task.step_loss(way, encoded, rows), None
        if self.whole is not None:
            self.whole.begin_pass()
        heard = self._heard(way)
        loss = self.task.step_loss(heard, encoded, rows)
        found = [] if self.whole is None else [self.whole.of_pass(heard.last, rows)]
        if self.listens:
            said = heard.said(heard.last[0], encoded, rows)
            found += [term.of_outputs(said) for term in self.terms]
        return loss, _sum(iter(found))

    def _heard(self, way: Any) -> Heard:
        return Heard(cast("LogitsTask", self.task), way, states=self.of_states)

    def gradients(self, rows: Any, weigh: Weigh, compute: Compute, seed: int) -> tuple[float, float]:
        """Gradients of a step's rows, left in the parameters: at once, or task by task where a term balances them.
        `compute(rows, whole)` adds those of some rows, divided by `whole`, and returns (loss, penalty)."""
        whole = weigh(rows)
        if not self.by_task or self.at is None:
            return compute(rows, whole)
        whose, shares, loss, penalty = self.at.task_of(rows), list[Share](), 0.0, 0.0
        for number in np.unique(whose).tolist():
            own = np.asarray(rows)[whose == number]
            found, more = compute(own, whole)
            loss, penalty, part = loss + found, penalty + more, weigh(own) / whole
            gradients = {n: p.grad for n, p in self.moving.items() if p.grad is not None}
            shares.append(Share(number, part, found / part, gradients))
            for parameter in self.moving.values():
                parameter.grad = None
        for term in self.terms:
            term.among(shares, seed)
        for name, parameter in self.moving.items():
            parameter.grad = _sum(share.gradients.get(name) for share in shares)
        return loss, penalty

    def groups(self) -> list[dict[str, Any]]:
        """What terms learn, as groups of the optimizer; each at its own rate, without decay."""
        return [
            {"params": [p], "names": [f"term {i}.{n}"], "weight_decay": 0.0, "peak": rate, "lr": rate}
            for i, term in enumerate(self.terms) for n, (p, rate) in term.parameters().items()
        ]  # fmt: skip

    def state(self) -> "dict[str, Tensor]":
        """What terms remember, for checkpoints."""
        return {f"{STATE}{i}|{n}": t for i, term in enumerate(self.terms) for n, t in term.state().items()}

    def restore(self, state: "Mapping[str, Tensor]") -> None:
        """Put back what `state` gave."""
        for i, term in enumerate(self.terms):
            own = f"{STATE}{i}|"
            term.restore({n.removeprefix(own): t for n, t in state.items() if n.startswith(own)})

    def told(self) -> dict[str, float]:
        """What terms have come to, for the journal."""
        return {name: value for term in self.terms for name, value in term.told().items()}

    def of_weights(self) -> "Tensor | None":
        """What penalties add to the mean loss of a step."""
        return _sum(term.of_weights() for term in self.terms)

    def after(self, again: Callable[[], object]) -> None:
        """The gradients of a step are there."""
        for term in self.terms:
            term.after(again)


def rested(model: "Model", train: "Encoded", name: str) -> Rested:
    """The training rows above a trunk that never moves, for the penalty of that name."""
    if (found := model.shortcuts.way.rested(train)) is None:
        why = "; ".join(model.shortcuts.refused) or "something below the head moves"
        raise TunesmithError(
            f"penalties: {name} works on what the head reads of rows, as the trunk cache keeps it where the whole "
            f"trunk rests, and this run keeps none ({why}). Remove {name}, or what stands against the cache"
        )
    assert train.targets is not None, "rows to learn from have targets"
    states, head = found
    return Rested(
        train.targets, np.asarray(train.weights, np.float32), states, train.side_of,
        lambda states_BH, side_BS: model.net.with_side(head(states_BH), side_BS), model.facts.labels,
        model.plan.train.seed,
    )  # fmt: skip


def is_shared(model: "Model") -> Callable[[str], bool]:
    """Whether a name of a parameter belongs to what several tasks share: everything but the output layer."""
    from tunesmith.bases.heads import output_layer

    found = output_layer(plain(model.net.auto), model.family)
    layer = found[0] if found else "\0"
    return lambda name: f".{layer}." not in f".{name.removeprefix('auto.')}"


def start_of(
    model: "Model", moving: "Mapping[str, nn.Parameter]", aids: Aids = NO_AIDS, train: "Encoded | None" = None
) -> Start:
    """What terms are made from."""
    net: Any = plain(model.net.auto)
    words = [] if model.family.sense != "text" else list(net.get_input_embeddings().parameters())
    names = {n for n, p in moving.items() if any(p is own for own in words)}

    def old_losses(count: int) -> "Iterator[Tensor]":
        encoded = aids.old()
        model.net.eval()
        for row in np.linspace(0, len(encoded) - 1, min(count, len(encoded))).round().astype(int).tolist():
            yield model.plan.task.step_loss(model.shortcuts.plain, encoded, [row])

    def shaded(shade: Any) -> Any:
        assert model.net.noise is not None, "the loop makes it where a penalty disturbs words"
        return model.net.noise.shading(shade)

    whose = None if train is None else train.part
    several: dict[str, Any] = {} if whose is None else {"task_of": lambda rows: whose[np.asarray(rows)]}
    return Start(
        moving, model.is_head, names.__contains__, model.plan.task.kind, old_losses, aids.taught,
        beside=dict(model.net.beside.items()),
        tasks={each.name: each.task.kind for each in model.plan.task.parts(model.facts)},
        is_shared=is_shared(model), shaded=shaded, special=frozenset(getattr(model.tokenizer, "all_special_ids", ())),
        **several,
    )  # fmt: skip


def _sum(found: "Iterator[Tensor | None]") -> "Tensor | None":
    terms = [each for each in found if each is not None]
    return sum(terms[1:], terms[0]) if terms else None

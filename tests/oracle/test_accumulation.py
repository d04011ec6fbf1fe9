"""A step in pieces is the step of the big batch: loss and gradients, row weights and a short last batch included."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import small
from kit import TinyBases
from tunesmith.engine.batches import collate, step_rows
from tunesmith.engine.network import override_dropout
from tunesmith.model import Model
from tunesmith.tasks import Encoded

ROWS = small.records()
WEIGHTS = [0.5, 2.0, 1.25, 0.5, 2.0, 1.25, 0.5, 2.0, 1.25, 0.5]
CLASS_WEIGHTS = torch.tensor([0.5, 2.0, 1.25])
FAMILIES = ("bert", "distilbert", "roberta", "electra", "deberta-v2", "llama", "qwen2")


def model_of(bases: TinyBases, family: str, micro_tokens: int, task: Any = "classify", method: Any = "full") -> Model:
    rows = ROWS if task != "regress" else small.records(labels=np.linspace(-2, 3, len(ROWS)).tolist())
    made = small.model(small.plan(bases[family], task=task, method=method, micro_tokens=micro_tokens), rows)
    override_dropout(made.net, 0.0)
    return made


def encoded(made: Model, task: str = "classify") -> Encoded:
    rows = ROWS if task != "regress" else small.records(labels=np.linspace(-2, 3, len(ROWS)).tolist())
    return small.encoded(made, rows, WEIGHTS)


def backward(made: Model, whole: Encoded, step: int) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of one step, as the loop computes them."""
    loop = small.loop(made, whole)
    made.net.train()
    loss, _ = loop._backward(step_rows(len(whole), 8, 0, step), 0)
    return loss, {n: p.grad.clone() for n, p in made.net.named_parameters() if p.grad is not None}


def by_hand(made: Model, whole: Encoded, step: int) -> tuple[float, dict[str, torch.Tensor]]:
    """The same from torch alone: one padded batch, weighted mean cross-entropy."""
    rows = step_rows(len(whole), 8, 0, step)
    batch = collate(whole, list(rows), made.tokenizer.pad_token_id)
    made.net.train()
    kind = next(made.net.parameters()).dtype
    logits = made.net.auto(**batch.inputs).logits
    loss = functional.cross_entropy(logits, batch.targets, weight=CLASS_WEIGHTS.to(kind))
    loss.backward()
    return loss.item(), {n: p.grad.clone() for n, p in made.net.named_parameters() if p.grad is not None}


def furthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    size = max(float(g.abs().max()) for g in other.values())
    return max(float((one[n] - other[n]).abs().max()) for n in one) / size


@pytest.mark.parametrize("step", (0, 1), ids=("full", "short"))
@pytest.mark.parametrize("family", FAMILIES)
def test_pieces_equal_the_big_batch_of_plain_torch(family: str, step: int, tiny_bases: TinyBases) -> None:
    made = model_of(tiny_bases, family, micro_tokens=1)
    loss, gradients = backward(made, encoded(made), step)
    other = model_of(tiny_bases, family, micro_tokens=10**6)
    hand, expected = by_hand(other, encoded(other), step)
    assert loss == pytest.approx(hand, rel=1e-5)
    assert furthest(gradients, expected) <= 1e-5


def test_in_double_precision_they_agree_to_1e_12(tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunesmith.engine.network import Network

    def exact(self: Network, batch: Any) -> torch.Tensor:
        return self.auto(**batch.inputs).logits

    monkeypatch.setattr(Network, "forward", exact)
    made, other = (model_of(tiny_bases, "bert", n) for n in (1, 10**6))
    made.net.double(), other.net.double()
    loss, gradients = backward(made, encoded(made), 0)
    hand, expected = by_hand(other, encoded(other), 0)
    assert loss == pytest.approx(hand, rel=1e-12)
    assert furthest(gradients, expected) <= 1e-12


@pytest.mark.parametrize(
    ("family", "method"), (("bert", {"name": "prefix", "tokens": 2}), ("qwen2", {"name": "prefix", "tokens": 2}),
                           ("deberta-v2", "lora"), ("deberta-v2", {"name": "layers", "top": 1})), ids=str,
)  # fmt: skip
def test_what_cannot_be_packed_equals_its_rows_alone(family: str, method: Any, tiny_bases: TinyBases) -> None:
    made = model_of(tiny_bases, family, 40, method=method)
    made.net.double()
    whole, step = encoded(made), 0
    loss, gradients = backward(made, whole, step)
    rows = step_rows(len(whole), 8, 0, step)
    assert made.shortcuts.way is made.shortcuts.plain
    assert len(list(made.shortcuts.way.pieces(whole, rows, 40))) > 2
    made.net.zero_grad()
    total = torch.zeros((), dtype=torch.float64)
    for row in rows:
        batch = collate(whole, [int(row)], made.tokenizer.pad_token_id)
        own = functional.cross_entropy(made.net.auto(**batch.inputs).logits, batch.targets)
        total = total + own * float(whole.weights[row]) / float(whole.weights[rows].sum())
    total.backward()  # type: ignore[no-untyped-call]
    assert loss == pytest.approx(total.item(), rel=1e-9)
    assert furthest(gradients, {n: p.grad for n, p in made.net.named_parameters() if p.grad is not None}) <= 1e-9


@pytest.mark.parametrize("task", ("regress", {"name": "classify", "focal": 2.0}))
def test_other_losses_too(task: Any, tiny_bases: TinyBases) -> None:
    name = task if isinstance(task, str) else task["name"]
    losses, gradients = zip(
        *(
            backward(made, encoded(made, name), 1)
            for made in (model_of(tiny_bases, "bert", n, task) for n in (1, 10**6))
        ),
        strict=True,
    )
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert furthest(gradients[0], gradients[1]) <= 1e-5


def test_weights_after_a_whole_epoch_agree(tiny_bases: TinyBases) -> None:
    ends = []
    for size in (1, 10**6):
        made = small.model(
            small.plan(tiny_bases["bert"], micro_tokens=size, optimizer="sgd", lr=0.05, epochs=2, clip=0.5), ROWS
        )
        override_dropout(made.net, 0.0)
        small.loop(made, encoded(made)).run()
        ends.append({n: p.detach().clone() for n, p in made.net.named_parameters()})
    assert furthest(*ends) <= 1e-5


def test_the_gradient_is_clipped_once_a_step_and_not_once_a_piece(
    tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith.engine.precision import Precision

    norms: list[float] = []
    real = Precision.clip

    def counted(self: Precision, *args: Any) -> float:
        norms.append(real(self, *args))
        return norms[-1]

    monkeypatch.setattr(Precision, "clip", counted)
    made = model_of(tiny_bases, "bert", micro_tokens=1)
    small.loop(made, encoded(made)).run()
    assert len(norms) == 2, "10 rows in batches of 8 are two steps"

"""Losses equal torch's and the formulas of their papers, row by row."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

import small
from tunesmith.data.ledger import Ledger
from tunesmith.steps import STEPS
from tunesmith.tasks import AROUND, TASKS, LogitsTask, Task

LOGITS = torch.randn(40, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 3
TARGETS = torch.randint(0, 5, (40,), generator=torch.Generator().manual_seed(4))


def task(name: str, **settings: Any) -> Task:
    return TASKS.find(name).model_validate(settings)


def test_plain_cross_entropy() -> None:
    found = task("classify").losses(LOGITS, TARGETS)
    chances = LOGITS.exp() / LOGITS.exp().sum(-1, keepdim=True)
    assert torch.allclose(found, -chances[torch.arange(40), TARGETS].log())
    assert torch.allclose(found.mean(), functional.cross_entropy(LOGITS, TARGETS))


@pytest.mark.parametrize("share", (0.1, 0.5))
def test_label_smoothing_spreads_its_share_over_all_classes(share: float) -> None:
    soft = functional.one_hot(TARGETS, 5).double() * (1 - share) + share / 5
    expected = -(soft * LOGITS.log_softmax(-1)).sum(-1)
    assert torch.allclose(task("classify", label_smoothing=share).losses(LOGITS, TARGETS), expected)


@pytest.mark.parametrize("gamma", (0.5, 2.0))
def test_focal_equals_lin_2017(gamma: float) -> None:
    chance = LOGITS.softmax(-1)[torch.arange(40), TARGETS]
    expected = (1 - chance) ** gamma * -chance.log()
    assert torch.allclose(task("classify", focal=gamma).losses(LOGITS, TARGETS), expected)


def test_focal_has_a_gradient_where_the_answer_is_certain() -> None:
    logits = torch.tensor([[60.0, -60.0], [-60.0, 60.0]], requires_grad=True)
    task("classify", focal=0.5).losses(logits, torch.tensor([0, 0])).sum().backward()
    assert logits.grad is not None and logits.grad.isfinite().all()


def test_multilabel_is_the_mean_binary_cross_entropy_of_a_row() -> None:
    truth = torch.randint(0, 2, (40, 5), generator=torch.Generator().manual_seed(5)).double()
    chance = torch.sigmoid(LOGITS)
    expected = -(truth * chance.log() + (1 - truth) * (1 - chance).log()).mean(-1)
    assert torch.allclose(task("multilabel").losses(LOGITS, truth), expected)


@pytest.mark.parametrize("delta", (0.5, 1.0))
def test_huber_is_quadratic_near_and_linear_far(delta: float) -> None:
    output, truth = LOGITS[:, :1], LOGITS[:, 1]
    error = (output[:, 0] - truth).abs()
    expected = torch.where(error <= delta, 0.5 * error**2, delta * (error - 0.5 * delta))
    assert torch.allclose(task("regress", loss="huber", delta=delta).losses(output, truth), expected)
    assert torch.allclose(task("regress").losses(output, truth), error**2)


@pytest.mark.parametrize(
    "name", [n for n in TASKS.names() if n not in AROUND and issubclass(TASKS.find(n), LogitsTask)]
)
def test_a_loss_a_row_and_no_row_in_anothers_loss(name: str) -> None:
    made = task(name)
    logits = LOGITS[:, :1] if made.kind == "numbers" else LOGITS
    numbers = LOGITS[:, 1]
    targets = {
        **dict.fromkeys(("classes", "tags", "text"), TARGETS), "multilabel": (LOGITS > 0).double(),
        **dict.fromkeys(("numbers", "pairs"), numbers),
    }[made.kind]  # fmt: skip
    whole = made.losses(logits, targets)
    assert whole.shape == (40,)
    assert torch.allclose(whole[7:9], made.losses(logits[7:9], targets[7:9]))


def test_class_weights_are_those_of_scikit_learn_and_of_torch() -> None:
    labels = ["a"] * 14 + ["b"] * 5 + ["c"]
    rows = small.records([f"t{i}" for i in range(20)], labels)
    roles = task("classify", text="text", label="label").roles()
    weighed = STEPS.make("balance").run(rows, roles, Ledger(), 0)
    found = torch.tensor([r.weight for r in weighed], dtype=torch.float64)
    expected = compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=labels)
    targets = torch.tensor(["abc".index(y) for y in labels])
    assert torch.allclose(found, torch.tensor(expected)[targets])
    logits = LOGITS[:20, :3]
    ours = (task("classify").losses(logits, targets) * found).sum() / found.sum()
    assert torch.allclose(ours, functional.cross_entropy(logits, targets, weight=torch.tensor(expected)))

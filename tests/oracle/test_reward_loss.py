"""The loss of reward models equals the papers' formula and TRL's own code, down to the network; gradients, too."""

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import preferring
import tiny
from tunesmith.data import Record
from tunesmith.engine.batches import collate
from tunesmith.model import Model, build, facts_for
from tunesmith.plan_text import make_plan
from tunesmith.tasks import TASKS, Encoded
from tunesmith.tasks.reward import Reward

EXACT = 1e-5
CASES = [{}, {"margin": "margin"}, {"centering": 0.01}, {"margin": "margin", "centering": 0.3}]


def task(**settings: Any) -> Reward:
    made = TASKS.find("reward").model_validate(settings)
    assert isinstance(made, Reward)
    return made


def numbers() -> tuple[Tensor, Tensor]:
    """Scores (B, 2) and margins (B,)."""
    draw = torch.Generator().manual_seed(5)
    scores = (torch.randn(9, 2, generator=draw) * 3).requires_grad_()
    return scores, torch.rand(9, generator=draw)


def of_the_papers(scores: Tensor, margins: Tensor, centering: float) -> Tensor:
    """Mean loss, written out."""
    wins = 1 / (1 + torch.exp(-(scores[:, 0] - scores[:, 1] - margins)))
    return (-wins.log() + centering * (scores[:, 0] + scores[:, 1]) ** 2).mean()


@pytest.mark.parametrize("centering", (0.0, 0.01, 0.3))
def test_the_loss_is_that_of_the_papers(centering: float) -> None:
    scores, margins = numbers()
    found = task(centering=centering).losses(scores, margins).mean()
    expected = of_the_papers(scores, margins, centering)
    assert torch.allclose(found, expected, rtol=EXACT)
    (mine,), (theirs,) = (torch.autograd.grad(loss, scores) for loss in (found, expected))
    assert torch.allclose(mine, theirs, atol=EXACT)


def made(folder: Path, settings: dict[str, Any]) -> tuple[Model, Encoded]:
    """A tiny decoder that scores, and eight pairs with a margin."""
    tiny.make("qwen2", folder)
    asked = {"name": "reward", "max_tokens": 64, "template": "plain", **settings}
    plan = make_plan({"task": asked, "base": str(folder), "data": "unused", "method": "full"})
    mapping = {"kind": "pairs", "prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}
    plan = plan.model_copy(update={"task": task(**asked, mapping=mapping)})
    rows = [{**row, "margin": i / 8} for i, row in enumerate(preferring.pairs(8))]
    records = list(plan.task.taken_in([Record(i, "t", i + 1, i + 1, row) for i, row in enumerate(rows)]))
    found = plan.base.found()
    from tunesmith.bases.load import load_tokenizer

    tokenizer = load_tokenizer(found)
    model = build(plan, facts_for(plan, records, plan.task.roles(), found, tokenizer), found, tokenizer)
    return model, model.encode(records, plan.task.roles())


def step(model: Model, encoded: Encoded, way: Any, pieces: list[list[int]]) -> tuple[float, Tensor]:
    """Mean loss of the step and its gradient."""
    model.net.zero_grad()
    loss = sum(model.plan.task.step_loss(way, encoded, piece) for piece in pieces) / len(encoded)
    assert isinstance(loss, Tensor)
    torch.autograd.backward(loss)
    return loss.item(), torch.cat([p.grad.flatten() for p in model.net.parameters() if p.grad is not None])


def as_trl_batches(model: Model, encoded: Encoded) -> dict[str, Tensor]:
    """All chosen sequences, then all rejected ones, padded."""
    assert encoded.inner is not None and encoded.targets is not None
    order = [*range(0, 16, 2), *range(1, 16, 2)]
    batch = dict(collate(encoded.inner, order, model.tokenizer.pad_token_id).inputs)
    return batch | {"margin": torch.from_numpy(encoded.targets)}


@pytest.mark.parametrize("settings", CASES)
def test_a_step_is_the_librarys_forward_pass_and_the_formula(settings: dict[str, Any], tmp_path: Path) -> None:
    model, encoded = made(tmp_path / "base", settings)
    model.shortcuts.prove(encoded, learning=True)
    assert model.shortcuts.refused == []
    found = step(model, encoded, model.shortcuts.way, [[0, 3, 5], [1, 2, 4, 6, 7]])
    model.net.zero_grad()
    batch = as_trl_batches(model, encoded)
    margins = batch.pop("margin")
    assert bool(margins.any()) == ("margin" in settings)
    scores = model.net.auto(**batch).logits[:, 0].reshape(2, 8).T
    loss = of_the_papers(scores, margins, settings.get("centering", 0.0))
    torch.autograd.backward(loss)
    gradient = torch.cat([p.grad.flatten() for p in model.net.parameters() if p.grad is not None])
    assert found[0] == pytest.approx(loss.item(), rel=EXACT)
    assert (found[1] - gradient).norm() <= 1e-4 * gradient.norm()
    expected = model.plan.task.mean_loss(model.outputs(encoded), encoded)
    assert found[0] == pytest.approx(expected, rel=EXACT)


@pytest.mark.filterwarnings("ignore")  # what TRL's own imports say
@pytest.mark.peers
@pytest.mark.parametrize("settings", CASES)
def test_a_step_equals_trls_reward_trainer(settings: dict[str, Any], tmp_path: Path) -> None:
    """Its `compute_loss` on our network and tokens; the trainer is made without its constructor."""
    trl = pytest.importorskip("trl")
    model, encoded = made(tmp_path / "base", settings)
    found = step(model, encoded, model.shortcuts.plain, [list(range(8))])
    batch = as_trl_batches(model, encoded)
    if "margin" not in settings:
        batch.pop("margin")
    trainer: Any = trl.RewardTrainer.__new__(trl.RewardTrainer)
    trainer.model = model.net.auto.eval()
    trainer.args = SimpleNamespace(center_rewards_coefficient=settings.get("centering"))
    gather = SimpleNamespace(gather=lambda t: t, gather_for_metrics=lambda t: t)
    trainer.accelerator, trainer._total_train_tokens, trainer._tp_size = gather, 0, 1
    trainer._metrics = {mode: defaultdict(list) for mode in ("train", "eval")}
    model.net.zero_grad()
    loss = trainer.compute_loss(model.net.auto, batch)
    torch.autograd.backward(loss)
    gradient = torch.cat([p.grad.flatten() for p in model.net.parameters() if p.grad is not None])
    assert found[0] == pytest.approx(loss.item(), rel=EXACT)
    assert (found[1] - gradient).norm() <= 1e-4 * gradient.norm()
    outputs = model.outputs(encoded)
    wins = trainer._metrics["eval"]["accuracy"]
    assert wins[0] == pytest.approx(float(np.mean(outputs[:, 0] > outputs[:, 1])))

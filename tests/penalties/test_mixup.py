"""Mixup against its definition on the states that the output layer reads, in double precision; cuts, cache, resume."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

import small
from kit import TinyBases
from tunesmith.engine.network import override_dropout, training_mode
from tunesmith.engine.overhearing import layer_of
from tunesmith.errors import Interrupted, TunesmithError
from tunesmith.model import kept
from tunesmith.penalties.mixup import drawn
from tunesmith.training.given import Job
from tunesmith.training.loop import Loop

LABELS: dict[str, Any] = {
    "classify": small.LABELS,
    "multilabel": [["a"], ["b", "c"], [], ["a", "c"], ["b"], ["c"], ["a"], ["b"], ["a", "b", "c"], ["c"]],
    "regress": [0.5, 1.0, 3.0, -2.0, 4.5, 0.0, 2.0, 1.5, -1.0, 5.0],
}
ROWS = list(range(10))


def ready(
    bases: TinyBases, task: str = "classify", alpha: float | None = 0.7, method: Any = "full", **train: Any
) -> Loop:
    rows = small.records(labels=LABELS[task])
    penalties = [] if alpha is None else [{"name": "mixup", "alpha": alpha}]
    made = small.model(small.plan(bases["bert"], task=task, method=method, penalties=penalties, **train), rows)
    override_dropout(made.net, 0.0)
    loop = small.loop(made, small.encoded(made, rows, [0.5 + i / 4 for i in range(len(rows))]))
    loop.net.double()
    if task != "classify":
        loop.job.train.targets = loop.job.train.targets.astype(np.float64)  # type: ignore[union-attr]
    training_mode(made.net, made.plan.method, made.family)
    return loop


def gradients(loop: Loop, seed: int = 5, rows: list[int] = ROWS) -> tuple[float, dict[str, torch.Tensor]]:
    """The whole loss of a step with its penalties, and its gradients."""
    loop.optimizer.zero_grad(set_to_none=True)
    torch.manual_seed(seed)
    loss, penalty = loop._backward(rows, seed)
    return loss + penalty, {n: p.grad.clone() for n, p in loop.moving.items() if p.grad is not None}


def losses(task: str, logits_BC: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    if task == "classify":
        return cross_entropy(logits_BC, targets, reduction="none")
    if task == "regress":
        return mse_loss(logits_BC[:, 0], targets, reduction="none")
    return binary_cross_entropy_with_logits(logits_BC, targets, reduction="none").mean(-1)


@pytest.mark.parametrize("task", LABELS)
def test_loss_and_gradients_are_those_of_mixed_states(task: str, tiny_bases: TinyBases) -> None:
    loop = ready(tiny_bases, task)
    value, found = gradients(loop)
    loop.optimizer.zero_grad(set_to_none=True)
    data = loop.job.train
    _, states_BH = loop.model.shortcuts.plain.told(data, ROWS)
    partner_B, share = drawn(ROWS, 0.7, 5)
    share_B = torch.from_numpy(share)
    mixed_BH = share_B[:, None] * states_BH + (1 - share_B)[:, None] * states_BH[partner_B]
    logits_BC = layer_of(loop.model.net.auto, loop.model.family)(mixed_BH)
    targets = torch.from_numpy(data.targets)  # type: ignore[arg-type]
    if task == "classify":  # the labels of both by their shares, as a distribution
        one_hot = torch.nn.functional.one_hot(targets).double()
        aims = share_B[:, None] * one_hot + (1 - share_B)[:, None] * one_hot[partner_B]
    else:
        share_of = share_B if task == "regress" else share_B[:, None]
        aims = share_of * targets + (1 - share_of) * targets[partner_B]
    weights_B = torch.from_numpy(data.weights).double()
    loss = (losses(task, logits_BC, aims) * weights_B).sum() / weights_B.sum()
    loss.backward()
    assert value == pytest.approx(loss.item(), rel=1e-12)
    for name, gradient in found.items():
        want = loop.moving[name].grad
        assert want is not None
        torch.testing.assert_close(gradient, want, atol=1e-12, rtol=1e-9)


def test_a_step_in_several_passes_and_packed_rows_are_the_same_step(tiny_bases: TinyBases) -> None:
    whole, cut, packed = (ready(tiny_bases, micro_tokens=tokens) for tokens in (4096, 16, 16))
    packed.model.shortcuts.prove(packed.job.train, learning=True)
    assert packed.model.shortcuts.way is not packed.model.shortcuts.plain
    training_mode(packed.model.net, packed.model.plan.method, packed.model.family)
    way = packed.model.shortcuts.way
    assert len(list(way.pieces(packed.job.train, ROWS, 16))) > 2
    value, found = gradients(whole)
    for other in (cut, packed):
        again, gradient = gradients(other)
        assert again == pytest.approx(value, rel=1e-12)
        for name in found:
            torch.testing.assert_close(gradient[name], found[name], atol=1e-10, rtol=1e-8)


def test_no_mixup_as_alpha_goes_to_nothing(tiny_bases: TinyBases) -> None:
    none, plain, some = (gradients(ready(tiny_bases, alpha=alpha)) for alpha in (1e-4, None, 1.0))
    assert none[0] == pytest.approx(plain[0], rel=1e-14) != pytest.approx(some[0], rel=1e-3)
    for name in plain[1]:
        torch.testing.assert_close(none[1][name], plain[1][name], atol=1e-14, rtol=1e-12)


def test_partners_and_shares_follow_the_seed_and_the_rows_alone() -> None:
    rows = [7, 3, 11, 0, 5]
    partner, share = drawn(rows, 1.0, 3)
    assert sorted(partner.tolist()) == [0, 1, 2, 3, 4] and share.min() >= 0.5
    other, again = drawn(rows[::-1], 1.0, 3)
    assert [rows[::-1][p] for p in other][::-1] == [rows[p] for p in partner]
    assert np.array_equal(again[::-1], share)
    assert not np.array_equal(share, drawn(rows, 1.0, 4)[1])
    shares = drawn(range(4000), 1.0, 0)[1]
    assert shares.mean() == pytest.approx(0.75, abs=0.01), "uniform from 1/2 to 1"


def test_the_trunk_cache_holds_and_a_resumed_run_is_the_same_to_the_bit(tiny_bases: TinyBases, tmp_path: Path) -> None:
    def job(name: str, stop: int | None = None, **more: Any) -> Loop:
        rows = small.records()
        asked = small.plan(
            tiny_bases["bert"], method="head", penalties=["mixup"], epochs=3, batch=4, save_every="1 step"
        )
        made = small.model(asked.model_copy(update=more), rows)
        data, folder = small.encoded(made, rows), tmp_path / name
        folder.mkdir(exist_ok=True)
        given = Job(made, data, data, lambda _: {"macro_f1": 0.0}, folder)
        loop = Loop(given)
        step = loop._step

        def counted() -> None:
            step()
            if loop.state.step == stop:
                given.stop.signal = 15

        loop._step = counted  # type: ignore[method-assign]
        return loop

    whole, part = job("whole"), job("part", 4)
    whole.run()
    assert any("trunk cache: 4 of 4" in line or "blocks never move" in line for line in whole.model.shortcuts.said)
    with pytest.raises(Interrupted):
        part.run()
    again = job("part")
    again.run()
    assert again.state.step == whole.state.step == 9
    for name, tensor in kept(whole.model).items():
        assert torch.equal(tensor, kept(again.model)[name]), name
    off = job("off", engine=whole.model.plan.engine.model_copy(update={"cache": "off"}))
    off.run()
    assert not any("blocks never move" in line for line in off.model.shortcuts.said)
    for name, tensor in kept(whole.model).items():
        torch.testing.assert_close(tensor, kept(off.model)[name], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("task", "penalties", "train", "message"),
    [
        ("classify", ["mixup", "rdrop"], {}, "mixup and rdrop both stand in the place of the loss"),
        ("classify", ["mixup"], {"batch": 1}, "train.batch is 1"),
        ("classify", ["mixup", "mixup"], {}, "mixup stands twice"),
        ("generate", ["mixup"], {}, "task generate has none"),
        ("tag", ["mixup"], {}, "task tag has none"),
        ({"name": "image", "augment": ["mixup"]}, ["mixup"], {}, "task.augment has mixed already"),
    ],
)
def test_refused_where_nothing_can_be_mixed(task: Any, penalties: list[str], train: Any, message: str) -> None:
    with pytest.raises(TunesmithError, match=message):
        small.make_plan({"task": task, "base": "minilm", "data": "t.csv", "penalties": penalties, "train": train})

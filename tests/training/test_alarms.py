"""Alarms: a run that cannot learn stops and says why; one that learns badly warns, with cures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import small
from jobs import history, run_job, tree, write_tickets
from kit import TinyBases
from tunesmith.errors import TunesmithError
from tunesmith.training import watch
from tunesmith.training.checkpoint import newest_good

ROWS = small.records()


@pytest.mark.parametrize("loss", (float("nan"), float("inf"), float("-inf")))
def test_a_loss_that_is_no_number_is_refused_with_a_cure(loss: float) -> None:
    with pytest.raises(TunesmithError, match=r"the loss became -?(nan|inf) at step 7\. .*try train\.lr=0\.1"):
        watch.refuse_bad_loss(loss, 7, 1.0)


def test_an_exploded_loss_is_refused() -> None:
    with pytest.raises(TunesmithError, match=r"exploded to 2e\+04 at step 7 .*train\.clip=1\.0"):
        watch.refuse_bad_loss(2e4, 7, 1.0)


def test_a_loss_of_zero_is_refused_at_the_start_only() -> None:
    with pytest.raises(TunesmithError, match="exactly 0 at step 1"):
        watch.refuse_bad_loss(0.0, 1, 1.0)
    watch.refuse_bad_loss(0.0, 50, 1.0)
    watch.refuse_bad_loss(1e-9, 1, 1.0)


@pytest.mark.parametrize("norm", (float("nan"), float("inf")))
def test_a_gradient_that_is_no_number_is_refused(norm: float) -> None:
    with pytest.raises(TunesmithError, match="the weights are untouched"):
        watch.refuse_bad_gradient(norm, 3, 0.1)


def test_a_rate_of_a_billion_stops_the_run_and_keeps_the_last_good_checkpoint(
    tiny_bases: TinyBases, tmp_path: Path
) -> None:
    plan = tree(tiny_bases["bert"], write_tickets(tmp_path / "t.csv"), tmp_path / "run", lr=1e9, warmup=0.0)
    plan["method"] = "full"
    with pytest.raises(TunesmithError, match=r"(loss (became|exploded)|gradient became).*[Tt]ry train\.lr=1e\+08"):
        run_job(plan)
    assert not (tmp_path / "run" / "reply.json").exists(), "such a run is not done"
    found, passed = newest_good(tmp_path / "run" / "checkpoints")
    assert found is not None and not passed
    assert all(t.isfinite().all() for t in found.weights.values())
    assert found.state.step == history(tmp_path / "run")[-1]["step"]


def test_weights_are_untouched_when_the_gradient_is_no_number(
    tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small.model(small.plan(tiny_bases["bert"]), ROWS)
    loop = small.loop(made, small.encoded(made, ROWS))
    before = {n: p.detach().clone() for n, p in made.net.named_parameters()}
    made.net.auto.classifier.weight.register_hook(lambda g: g * float("nan"))
    with pytest.raises(TunesmithError, match="the gradient became nan at step 1"):
        loop.run()
    assert all(torch.equal(before[n], p) for n, p in made.net.named_parameters())


@pytest.mark.parametrize("targets", (None, np.array([], dtype=np.int64), np.array([-1, -1])))
def test_rows_without_any_label_stop_before_the_first_step(targets: Any, tiny_bases: TinyBases) -> None:
    made = small.model(small.plan(tiny_bases["bert"]), ROWS)
    whole = small.encoded(made, ROWS)
    whole.targets = targets
    with pytest.raises(TunesmithError, match="no training row has a label to learn from"):
        small.loop(made, whole)


def test_a_trainable_tensor_without_gradient_stops_the_run(tiny_bases: TinyBases) -> None:
    made = small.model(small.plan(tiny_bases["bert"]), ROWS)
    made.net.register_parameter("forgotten", torch.nn.Parameter(torch.ones(2)))
    with pytest.raises(TunesmithError, match=r"no gradient reaches 1 of \d+ trainable tensors \(such as forgotten\)"):
        small.loop(made, small.encoded(made, ROWS)).run()


def test_one_answer_for_every_row_warns_with_cures(tiny_bases: TinyBases) -> None:
    made = small.model(small.plan(tiny_bases["bert"], method="head", lr=1e-9), ROWS)
    with torch.no_grad():
        made.net.auto.classifier.bias.copy_(torch.tensor([0.0, 50.0, 0.0]))
    (text,) = small.loop(made, small.encoded(made, ROWS)).run().warnings
    assert "every validation row is answered 'b'" in text and "train.lr" in text


def test_different_answers_do_not_warn() -> None:
    assert watch.one_class(np.array([0, 1] * 10), ("a", "b")) is None
    assert watch.one_class(np.zeros(3, dtype=int), ("a", "b")) is None, "three rows say nothing"
    assert watch.one_class(np.zeros(30, dtype=int), ("a", "b")) is not None


def losses(train: list[float], validation: list[float]) -> list[dict[str, float]]:
    return [{"train_loss": t, "validation_loss": v} for t, v in zip(train, validation, strict=True)]


def test_over_fitting_warns_when_one_loss_falls_and_the_other_rises() -> None:
    told = str(watch.overfitting(turning := losses([1, 0.8, 0.6, 0.4], [0.9, 1.0, 1.1, 1.2])))
    assert "over-fitting" in told and "The best weights are kept" in told
    assert "The last weights are kept. Cures: train.keep=best" in str(watch.overfitting(turning, "last"))
    assert watch.overfitting(losses([1, 0.8, 0.6], [0.9, 1.0, 1.1])) is None, "two rises may be chance"
    assert watch.overfitting(losses([1, 0.8, 0.6, 0.4], [0.9, 1.0, 0.95, 1.2])) is None
    assert watch.overfitting(losses([0.4, 0.6, 0.8, 1.0], [0.9, 1.0, 1.1, 1.2])) is None, "both rise: not that"


def test_a_run_that_over_fits_warns_once(tiny_bases: TinyBases) -> None:
    made = small.model(small.plan(tiny_bases["bert"], lr=0.01, epochs=20, dropout=0.0, patience=None), ROWS)
    wrong = small.encoded(made, small.records(labels=[*small.LABELS[1:], "b"]))
    state = small.loop(made, small.encoded(made, ROWS), wrong).run()
    assert sum("over-fitting" in w for w in state.warnings) == 1

"""The loop: stops early, keeps the best, repeats bit for bit, and evaluates without touching what is learnt."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import small
from jobs import history, run_job, tree, write_tickets
from kit import TinyBases
from tunesmith.engine.network import override_dropout
from tunesmith.model import Model, weights
from tunesmith.training.checkpoint import State
from tunesmith.training.loop import Loop

ROWS = small.records()
Weights = dict[str, torch.Tensor]


def told(values: Iterable[float], metric: str = "macro_f1") -> Callable[[Any], Mapping[str, float]]:
    """A judge that says these values, one an evaluation."""
    rest = iter(values)
    return lambda logits: {metric: next(rest), "log_loss": 0.5}


def taken(made: Model) -> Weights:
    return {n: p.detach().clone() for n, p in weights(made).items()}


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def trained(bases: TinyBases, judge: Any = None, method: Any = "full", **train: Any) -> tuple[Model, State]:
    made = small.model(small.plan(bases["bert"], method=method, **{"lr": 0.01, "patience": None, **train}), ROWS)
    state = small.loop(made, small.encoded(made, ROWS), judge=judge).run()
    return made, state


@pytest.fixture
def snapshots(monkeypatch: pytest.MonkeyPatch) -> dict[int, Weights]:
    """Weights after each step of the loops of this test."""
    found: dict[int, Weights] = {}
    real = Loop._log_step

    def keeping(self: Loop, *values: float) -> None:
        real(self, *values)
        found[self.state.step] = {n: p.detach().clone() for n, p in self.moving.items()}

    monkeypatch.setattr(Loop, "_log_step", keeping)
    return found


def test_the_best_weights_are_kept_and_not_the_last(tiny_bases: TinyBases, snapshots: dict[int, Weights]) -> None:
    made, state = trained(tiny_bases, told([0.1, 0.9, 0.5, 0.2]), epochs=4, keep="best")
    assert (state.step, state.best_step, state.best_value) == (8, 4, 0.9)
    assert same(taken(made), snapshots[4]) and not same(taken(made), snapshots[8])


def test_keep_last_keeps_the_last(tiny_bases: TinyBases, snapshots: dict[int, Weights]) -> None:
    made, state = trained(tiny_bases, told([0.1, 0.9, 0.5, 0.2]), epochs=4, keep="last")
    assert same(taken(made), snapshots[8]) and state.best_step == 4


def test_early_stopping_waits_for_its_patience_and_restores_the_best(
    tiny_bases: TinyBases, snapshots: dict[int, Weights]
) -> None:
    made, state = trained(tiny_bases, told([0.5, 0.6, 0.4, 0.6, 0.9]), epochs=9, keep="best", patience=2)
    assert state.evaluations == 4 and state.step == 8, "an equal value is no better one"
    assert state.reason == "no better macro_f1 in 2 evaluations"
    assert same(taken(made), snapshots[4])


def test_a_better_value_starts_the_patience_anew(tiny_bases: TinyBases) -> None:
    _, state = trained(tiny_bases, told([0.5, 0.4, 0.6, 0.4, 0.3, 0.9]), epochs=6, patience=2)
    assert state.evaluations == 5


def test_without_patience_the_run_goes_to_its_end(tiny_bases: TinyBases) -> None:
    _, state = trained(tiny_bases, told([0.5, 0.4, 0.3, 0.2, 0.1]), epochs=5)
    assert state.step == 10 and state.reason == "all steps done"


def test_best_by_loss_takes_the_lowest(tiny_bases: TinyBases) -> None:
    made = small.model(small.plan(tiny_bases["bert"], lr=0.01, epochs=5, best="loss", keep="best", patience=None), ROWS)
    wrong = small.encoded(made, small.records(labels=[*small.LABELS[1:], "b"]))
    loop = small.loop(made, small.encoded(made, ROWS), wrong, told([9.0] * 5))
    state = loop.run()
    seen = [e["validation_loss"] for e in loop.evaluations]
    assert state.best_value == min(seen) and state.best_step == 2 * (1 + seen.index(min(seen)))
    assert made.plan.task.mean_loss(made.outputs(wrong), loop.job.validation) == pytest.approx(min(seen), rel=1e-6)


def test_a_metric_of_errors_is_better_when_lower(tiny_bases: TinyBases) -> None:
    values = [0.9, 0.3, 0.5]
    rest = iter(values)
    _, state = trained(tiny_bases, lambda logits: {"macro_f1": 1.0, "log_loss": next(rest)}, epochs=3, best="log_loss")
    assert state.best_value == 0.3 and state.best_step == 4


def test_a_metric_that_is_undefined_is_never_the_best(tiny_bases: TinyBases) -> None:
    _, state = trained(tiny_bases, told([float("nan"), 0.2, float("nan")]), epochs=3)
    assert state.best_value == 0.2


def test_plateau_lowers_the_rate_when_nothing_gets_better(tiny_bases: TinyBases) -> None:
    made = small.model(small.plan(tiny_bases["bert"], lr=0.01, epochs=4, schedule="plateau", patience=None), ROWS)
    loop = small.loop(made, small.encoded(made, ROWS), judge=told([0.5, 0.4, 0.3, 0.9]))
    rates = []
    real = loop._set_rates
    loop._set_rates = lambda step: rates.append(real(step)) or rates[-1]  # type: ignore[method-assign]
    loop.run()
    assert rates == pytest.approx([0.01] * 4 + [0.005] * 2 + [0.0025] * 2)
    assert {g["lr"] for g in loop.optimizer.param_groups} == {0.0025}


def test_one_plan_twice_gives_the_same_bits_and_another_seed_does_not(tiny_bases: TinyBases) -> None:
    first, second, third = (taken(trained(tiny_bases, epochs=2, seed=s)[0]) for s in (5, 5, 6))
    assert same(first, second)
    assert not same(first, third)


@pytest.mark.parametrize("method", ("full", "lora"))
def test_evaluating_more_often_changes_no_weight(method: str, tiny_bases: TinyBases) -> None:
    """FAULTS M13: evaluation and logging draw no randomness and leave dropout as it was."""
    ends = [
        taken(trained(tiny_bases, epochs=2, method=method, evaluate_every=every, log_every=every)[0])
        for every in ("1 step", "1 epoch", "1000 steps")
    ]
    assert same(ends[0], ends[1]) and same(ends[0], ends[2])


def test_random_numbers_that_others_draw_change_no_weight(tiny_bases: TinyBases) -> None:
    """Dropout is a function of seed and step, so that a resumed run cannot drift."""

    def drawing(logits: Any) -> Mapping[str, float]:
        torch.rand(7)
        return {"macro_f1": 0.5}

    ends = [taken(trained(tiny_bases, judge, epochs=3)[0]) for judge in (None, drawing)]
    assert same(*ends)


def test_evaluations_come_when_they_are_due_and_at_the_end(tiny_bases: TinyBases) -> None:
    seen: list[int] = []
    made = small.model(small.plan(tiny_bases["bert"], epochs=4, evaluate_every="3 steps", patience=None), ROWS)
    loop = small.loop(made, small.encoded(made, ROWS))
    loop.job.judge = lambda logits: seen.append(loop.state.step) or {"macro_f1": 0.5}
    loop.run()
    assert seen == [3, 6, 8]


def test_the_last_step_is_evaluated_once(tiny_bases: TinyBases) -> None:
    assert trained(tiny_bases, epochs=2, evaluate_every="4 steps")[1].evaluations == 1


def test_the_average_is_what_is_evaluated_and_kept(tiny_bases: TinyBases, snapshots: dict[int, Weights]) -> None:
    made, _ = trained(tiny_bases, epochs=3, ema=0.9, keep="last")
    expected = taken(small.model(made.plan, ROWS))
    for t in range(1, 7):
        decay = min(0.9, (1 + t) / (10 + t))
        expected = {n: decay * w + (1 - decay) * snapshots[t][n] for n, w in expected.items()}
    found = taken(made)
    assert all(torch.allclose(found[n], expected[n], atol=1e-6) for n in found)
    assert not same(found, snapshots[6])


def test_the_average_leaves_training_itself_alone(tiny_bases: TinyBases, snapshots: dict[int, Weights]) -> None:
    trained(tiny_bases, epochs=2, ema=0.9, evaluate_every="1 step")
    with_average = dict(snapshots)
    trained(tiny_bases, epochs=2)
    assert all(same(with_average[step], snapshots[step]) for step in range(1, 5))


@pytest.mark.parametrize("optimizer", ("adamw", "sgd", "adafactor"))
def test_a_rate_next_to_zero_changes_next_to_nothing(optimizer: str, tiny_bases: TinyBases) -> None:
    made, _ = trained(tiny_bases, epochs=2, lr=1e-30, optimizer=optimizer)
    start = taken(small.model(made.plan, ROWS))
    assert max(float((p - start[n]).abs().max()) for n, p in taken(made).items()) < 1e-25


def test_frozen_weights_stay_bit_equal(tiny_bases: TinyBases) -> None:
    made, _ = trained(tiny_bases, epochs=3, method={"name": "layers", "top": 1}, weight_decay=0.5)
    start = dict(small.model(made.plan, ROWS).net.named_parameters())
    for name, parameter in made.net.named_parameters():
        assert torch.equal(parameter, start[name]) == (name not in weights(made)) or "bias" in name, name


@pytest.mark.parametrize("family", ("bert", "distilbert", "roberta", "qwen2"))
def test_eight_rows_can_be_learnt_by_heart(family: str, tiny_bases: TinyBases) -> None:
    """FAULTS M11."""
    rows = ROWS[:8]
    made = small.model(
        small.plan(tiny_bases[family], lr=0.003, epochs=40, patience=None, evaluate_every="40 epochs"), rows
    )
    override_dropout(made.net, 0.0)
    whole = small.encoded(made, rows)
    small.loop(made, whole).run()
    assert (made.outputs(whole).argmax(-1) == whole.targets).mean() >= 0.99


def test_rows_of_no_weight_in_the_loss_are_not_learnt_from(tiny_bases: TinyBases) -> None:
    ends = []
    for labels in (small.LABELS, (*small.LABELS[:-1], "c")):
        made = small.model(small.plan(tiny_bases["bert"], lr=0.01), ROWS)
        whole = small.encoded(made, small.records(labels=labels), [1.0] * 9 + [0.0])
        small.loop(made, whole).run()
        ends.append(taken(made))
    assert all(torch.allclose(ends[0][n], ends[1][n], atol=1e-7) for n in ends[0])


def test_dropout_of_the_plan_reaches_the_network(tiny_bases: TinyBases, tmp_path: Path) -> None:
    data = write_tickets(tmp_path / "t.csv", rows=45)
    ends = []
    for name, train in (("a", {}), ("b", {"dropout": 0.0}), ("c", {"dropout": 0.5})):
        plan = tree(tiny_bases["bert"], data, tmp_path / name, epochs=1, **train)
        ends.append(run_job(plan | {"method": "full"})["weights_sha256"])
    assert len(set(ends)) == 3


def lines(run: Path, kind: str) -> list[int]:
    return [line["step"] for line in history(run) if line["kind"] == kind]


def test_the_journal_has_what_was_asked_for(tiny_bases: TinyBases, tmp_path: Path) -> None:
    data = write_tickets(tmp_path / "t.csv", rows=45)
    plan = tree(tiny_bases["bert"], data, tmp_path / "run", log_every="2 steps", evaluate_every="1 epoch", lr=0.02)
    run_job(plan)
    steps = lines(tmp_path / "run", "step")
    per_epoch = lines(tmp_path / "run", "evaluation")[0]
    assert per_epoch == 3 and steps == [2, 4, 6, 8, 9]
    first = next(line for line in history(tmp_path / "run") if line["kind"] == "step")
    assert first["epoch"] == pytest.approx(2 / per_epoch), "steps are never drawn as epochs"
    assert 0 < first["lr"] <= 0.02 and first["loss"] > 0 and first["grad_norm"] > 0


def test_logging_by_the_clock_logs(tiny_bases: TinyBases, tmp_path: Path) -> None:
    data = write_tickets(tmp_path / "t.csv", rows=45)
    run_job(tree(tiny_bases["bert"], data, tmp_path / "run", log_every="0.000001 seconds"))
    assert lines(tmp_path / "run", "step") == list(range(1, 10))

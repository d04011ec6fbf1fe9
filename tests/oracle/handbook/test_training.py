"""What handbook code about training gets wrong (HANDBOOK, part 2): here it is right, or refused before it costs."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import small
from jobs import history, run_job, tree, write_tickets
from kit import TinyBases
from tunesmith.engine import precision
from tunesmith.engine.network import override_dropout
from tunesmith.errors import TunesmithError
from tunesmith.files import read_json
from tunesmith.model import weights
from tunesmith.plan_text import make_plan
from tunesmith.settings import Train
from tunesmith.training.optimizer import groups, no_decay
from tunesmith.training.schedule import factor

ROWS = small.records()
SHORT: dict[str, Any] = {"task": "classify", "base": "no-such-base", "data": "no-such-file.csv"}


def model_of(bases: TinyBases, family: str = "bert", method: Any = "full", **train: Any) -> Any:
    return small.model(small.plan(bases[family], method=method, **train), ROWS)


def test_validation_always_has_metrics(tiny_bases: TinyBases, tmp_path: Path) -> None:
    """A validation set is given, no metric function: all that is reported is a loss."""
    run_job(tree(tiny_bases["bert"], write_tickets(tmp_path / "t.csv", rows=45), tmp_path / "run", epochs=1))
    line = [e for e in history(tmp_path / "run") if e["kind"] == "evaluation"][-1]
    for name in make_plan(SHORT).metric_names:
        assert line[name] is not None


def test_a_best_metric_that_is_never_computed_is_refused_before_anything_loads() -> None:
    """The checkpoint is to be picked by a metric that nobody computes: it fails after the first epoch, hours in."""
    for best in ("roc_auc", "f1_macro", "eval_f1"):
        with pytest.raises(TunesmithError, match=r"train\.best|no metric named"):
            make_plan(SHORT | {"train": {"best": best}})


def test_a_warm_up_longer_than_the_run_still_reaches_the_peak() -> None:
    """500 warm-up steps in a run of 100 never reach the learning rate that was asked for."""
    train = Train(warmup="500 steps")
    assert [factor(train, s, 100, 10) for s in (0, 49, 99)] == pytest.approx([0.01, 0.5, 1.0])


def test_a_warm_up_in_epochs_is_a_slope_and_not_a_step() -> None:
    """Setting a low rate for the whole first epoch and the full one from the second on is no warm-up."""
    train = Train(warmup="1 epoch", schedule="constant")
    climb = [factor(train, s, 100, 20) for s in range(20)]
    assert len(set(climb)) == 20 and climb == sorted(climb) and climb[-1] == 1.0


def test_annealing_and_restarts_are_two_schedules() -> None:
    """Cosine annealing with and without warm restarts are told as if they were one."""
    cosine = [factor(Train(warmup=0.0, schedule="cosine"), s, 90, 10) for s in range(90)]
    restarts = [factor(Train(warmup=0.0, schedule="restarts", cycles=3), s, 90, 10) for s in range(90)]
    assert cosine == sorted(cosine, reverse=True)
    assert sum(b > a for a, b in pairwise(restarts)) == 2


def test_the_norm_that_is_clipped_is_that_of_the_whole_step(tiny_bases: TinyBases) -> None:
    """Clipping after each micro-batch clips the pieces, so that the step depends on how it was cut."""
    ends = []
    for size in (1, 10**6):
        made = model_of(
            tiny_bases, micro_tokens=size, clip=0.01, optimizer="sgd", lr=1.0, momentum=0.0, weight_decay=0.0
        )
        override_dropout(made.net, 0.0)
        before = {n: p.detach().clone() for n, p in weights(made).items()}
        small.loop(made, small.encoded(made, ROWS[:8])).run()
        moved = torch.cat([(p.detach() - before[n]).flatten() for n, p in weights(made).items()])
        assert 0.0099 <= float(moved.norm()) <= 0.0101
        ends.append(moved)
    assert torch.allclose(*ends, atol=1e-6)


def test_accumulation_cannot_be_set_where_it_is_ignored() -> None:
    """Accumulation steps in a place that nothing reads: here memory is `micro_tokens`, and other words are refused."""
    for word in ("gradient_accumulation_steps", "accumulation", "accumulate"):
        with pytest.raises(TunesmithError, match=f"train: no setting named '{word}'"):
            make_plan(SHORT | {"train": {word: 4}})


def test_early_stopping_gives_back_the_best(tiny_bases: TinyBases, tmp_path: Path) -> None:
    """Stopping early but saving the last weights keeps those that were worse for `patience` evaluations."""
    data = write_tickets(tmp_path / "t.csv", rows=60)
    train = {"epochs": 9, "patience": 1, "lr": 0.03, "best": "loss", "keep": "best"}
    plan = tree(tiny_bases["bert"], data, tmp_path / "run", **train) | {"method": "full"}
    reply = run_job(plan)
    seen = [e for e in history(tmp_path / "run") if e["kind"] == "evaluation"]
    best = min(seen, key=lambda e: e["validation_loss"])
    about = read_json(tmp_path / "run" / "provenance.json")
    assert about["best_step"] == best["step"] < about["steps"], "this run stops after its best"
    assert reply["metrics"]["validation"]["accuracy"]["value"] == pytest.approx(best["accuracy"])
    assert reply["metrics"]["validation"]["log_loss"]["value"] == pytest.approx(best["log_loss"], rel=1e-5)


@pytest.mark.parametrize("family", ("bert", "llama", "qwen2"))
def test_norms_are_spared_by_their_type_and_not_by_a_name(family: str, tiny_bases: TinyBases) -> None:
    """Sparing what is called LayerNorm.weight decays input_layernorm, sa_layer_norm, and every RMSNorm."""
    net = model_of(tiny_bases, family).net
    norms = [n for n, m in net.named_modules() if isinstance(m, nn.LayerNorm) or "RMSNorm" in type(m).__name__]
    assert norms and {f"{n}.weight" for n in norms} <= no_decay(net)
    decayed = {n for g in groups(model_of(tiny_bases, family), dict(net.named_parameters())) for n in g["names"]
               if g["weight_decay"]}  # fmt: skip
    assert decayed and all(n.endswith(".weight") for n in decayed) and not any("norm" in n.lower() for n in decayed)


@pytest.mark.parametrize("method", ("head", "lora", "bitfit", {"name": "layers", "top": 1}))
def test_the_optimizer_gets_no_frozen_parameter(method: Any, tiny_bases: TinyBases) -> None:
    """Handing all parameters over costs memory, and weight decay may still move what is meant to be frozen."""
    made = model_of(tiny_bases, method=method, weight_decay=0.1)
    loop = small.loop(made, small.encoded(made, ROWS))
    given = [p for g in loop.optimizer.param_groups for p in g["params"]]
    assert all(p.requires_grad for p in given)
    assert len(given) == sum(p.requires_grad for p in made.net.parameters()) < len(list(made.net.parameters()))


def test_fp16_is_never_chosen_by_itself_and_refused_where_it_is_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """fp16 for a model made in bf16 overflows; on a CPU it is slow, too."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert precision.choose("auto") == "fp32"
    with pytest.raises(TunesmithError, match=r"train\.precision: fp16 is emulated on a CPU.*Use fp32, or bf16"):
        precision.choose("fp16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for able, chosen in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda able=able: able)
        assert precision.choose("auto") == chosen


def test_the_rate_is_a_function_of_the_step_and_not_of_how_often_something_was_called(tiny_bases: TinyBases) -> None:
    """A schedule that steps by being called runs ahead when steps are skipped or evaluated in between."""
    made = model_of(tiny_bases, epochs=3, lr=0.01)
    loop = small.loop(made, small.encoded(made, ROWS))
    first = [loop._set_rates(s) for s in range(6)]
    assert [loop._set_rates(s) for s in (5, 0, 3)] == [first[5], first[0], first[3]]


def test_each_method_has_its_own_default_rate() -> None:
    """2e-5 for everything: LoRA and prompts then learn next to nothing."""
    rates = {m: make_plan(SHORT | {"method": m}).learning_rate for m in ("full", "lora", "prompt")}
    assert rates["full"] < rates["lora"] < rates["prompt"]

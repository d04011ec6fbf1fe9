"""Every method on preference pairs: the reference is the base whatever the method, what is saved answers the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import preferring
from kit import settings
from tunesmith import golden, reference
from tunesmith.bases.find import find
from tunesmith.bases.load import load_tokenizer
from tunesmith.data import Record
from tunesmith.engine.batches import collate
from tunesmith.engine.language import PlainLanguage
from tunesmith.golden import EXACT, error_of
from tunesmith.methods import METHODS, _peft
from tunesmith.model import Model, build, ecosystem, facts_for, load, save, untuned
from tunesmith.plan_text import make_plan
from tunesmith.prove import plain_logits, plain_network
from tunesmith.tasks import Encoded, _pairs
from tunesmith.training.given import Job
from tunesmith.training.loop import Loop

SETTINGS: dict[str, Any] = {"mixed": {"parts": ["lora", "ia3"]}}
KEEPS = {"lora", "adapter", "fusion", "ia3", "prefix", "prompt", "ptuning", "mixed"}
NEAR = 2e-4
"""Of sums over 20 tokens in float32."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return preferring.write_base("qwen2", tmp_path_factory.mktemp("prefer") / "qwen2")


def made(base: Path, method: Any, loss: str = "dpo") -> tuple[Model, Encoded, list[Record]]:
    """A fresh model with encoded rows."""
    rows = preferring.pairs(8) if loss != "kto" else preferring.opinions(8)
    tree = preferring.tree(base, Path("unused.jsonl"), Path("unused"), method=method, loss=loss)
    tree["task"] |= {"mapping": {"kind": "pairs", "prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}}
    if loss == "kto":
        tree["task"]["mapping"] = {"kind": "alpaca", "prompt": "prompt", "response": "completion", "label": "label"}
    tree["train"] |= {"keep": "last", "lr": 0.05}
    plan = make_plan({k: v for k, v in tree.items() if k != "run"})
    found = find(plan.base.name)
    tokenizer = load_tokenizer(found)
    records = list(plan.task.taken_in([Record(i, "t", i + 1, i + 1, row) for i, row in enumerate(rows)]))
    model = build(plan, facts_for(plan, records, plan.task.roles(), found, tokenizer), found, tokenizer)
    return model, model.encode(records, plan.task.roles()), records


def of_the_base(model: Model, encoded: Encoded) -> np.ndarray:
    """Log-probabilities (N, 2) by the library's own forward pass of the untouched base."""
    assert encoded.inner is not None
    way = PlainLanguage(untuned(model).net, model.tokenizer.pad_token_id)
    with torch.no_grad():
        logps, _ = _pairs.log_probabilities(way, encoded.inner, list(range(len(encoded.inner))))
    return logps.numpy().reshape(-1, 2)


def train(model: Model, encoded: Encoded) -> None:
    Loop(Job(model, encoded, encoded, lambda _: {model.plan.best_metric: 0.0}, Path(), save=False)).run()


def method_of(name: str, base: Path) -> dict[str, Any]:
    return {"name": name, **(SETTINGS.get(name) or settings(name, base))}


@pytest.mark.parametrize("name", METHODS.names())
def test_the_reference_is_the_base_before_and_after_training(
    name: str, base: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    model, encoded, records = made(base, method_of(name, base))
    expected = of_the_base(model, encoded)
    moving = {n: p.requires_grad for n, p in model.net.named_parameters()}
    reference.refer(model, {"train": encoded})
    assert encoded.reference is not None
    assert np.abs(encoded.reference - expected).max() <= NEAR
    assert {n: p.requires_grad for n, p in model.net.named_parameters()} == moving, "what learns was changed"
    train(model, encoded)
    outputs = model.outputs(encoded)
    assert np.abs(outputs[:, :2] - outputs[:, 4:]).max() > NEAR, "nothing was learnt"
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "empty"))
    again = model.encode(records, model.plan.task.roles())
    reference.refer(model, {"train": again})
    assert again.reference is not None and np.abs(again.reference - expected).max() <= NEAR
    save(model, tmp_path / "model")
    check_saved(model, encoded, records, tmp_path)


def check_saved(model: Model, encoded: Encoded, records: list[Record], folder: Path) -> None:
    outputs, opened = model.outputs(encoded), load(folder / "model")
    part = opened.encode(records, opened.plan.task.roles())
    part.reference = encoded.reference
    assert error_of(opened.outputs(part), outputs) <= EXACT
    if ecosystem(model.plan) == "plain":
        assert encoded.inner is not None and encoded.inner.labels is not None
        batch = collate(encoded.inner, range(len(encoded.inner)), model.tokenizer.pad_token_id).inputs
        labels = torch.from_numpy(golden.beside(encoded.inner.labels))
        tensors = {**batch, "labels": labels, "logits": torch.from_numpy(outputs)}
        with torch.inference_mode():
            assert error_of(plain_logits(plain_network(folder / "model", model), model, tensors), outputs) <= EXACT


@pytest.mark.parametrize("name", METHODS.names())
def test_a_method_keeps_the_base_exactly_if_it_says_so(name: str, base: Path) -> None:
    model, encoded, _ = made(base, method_of(name, base))
    assert model.plan.method.keeps_base() == (name in KEEPS)
    expected = of_the_base(model, encoded)
    encoded.reference = expected.copy()
    train(model, encoded)
    with _peft.switched_off(model.net.auto):
        found = reference._computed(reference._inside(model), encoded, lambda _: None)
    same = np.abs(found - expected).max() <= NEAR
    assert same == (name in KEEPS), "switched off it is the base, and only where the method says so"
    outputs = model.outputs(encoded)
    assert np.abs(outputs[:, :2] - expected).max() > NEAR, "after the block it is switched on again"


def test_pissa_and_a_mixture_with_full_weights_do_not_keep_the_base(base: Path) -> None:
    assert not METHODS.find("lora").model_validate({"init": "pissa"}).keeps_base()
    assert not METHODS.find("mixed").model_validate({"parts": [{"name": "lora"}, {"name": "bitfit"}]}).keeps_base()


def test_the_reference_of_a_start_is_that_start(base: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Preference tuning goes on from a run: what is compared with is the model as that run left it."""
    from jobs import run_job

    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    data = preferring.write_rows(tmp_path / "pairs.jsonl", preferring.pairs(40))
    first = preferring.tree(base, data, tmp_path / "first", train={"lr": 0.05})
    run_job(first)
    second = preferring.tree(base, data, tmp_path / "second", method={"name": "lora", "start": str(tmp_path / "first")})
    reply = run_job(second)
    assert reply["baselines"]["untuned"]["validation"]["reward_margin"]["value"] == 0.0
    before, model = load(tmp_path / "first/model"), load(tmp_path / "second/model")
    _, _, records = made(base, "lora")
    theirs = before.encode(records, before.plan.task.roles())
    own = model.encode(records, model.plan.task.roles())
    for each, asked in ((theirs, before), (own, model)):
        reference.refer(asked, {"rows": each})
    assert own.reference is not None
    assert np.abs(before.outputs(theirs)[:, :2] - own.reference).max() <= NEAR


def test_a_second_run_and_the_proof_find_the_reference(
    base: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    model, encoded, records = made(base, "full")
    reference.refer(model, {"train": encoded})
    again = model.encode(records, model.plan.task.roles())
    monkeypatch.setattr(reference, "_computed", lambda *_: pytest.fail("computed again"))
    reference.refer(model, {"train": again})
    assert encoded.reference is not None and np.array_equal(again.reference, encoded.reference)
    other, fewer, _ = made(base, "full")
    assert fewer.inner is not None
    fewer.inner.ids.flat[-1] += 1
    with pytest.raises(pytest.fail.Exception, match="computed again"):
        reference.refer(other, {"train": fewer})


def test_the_question_of_both_answers_is_computed_once(base: Path) -> None:
    model, encoded, _ = made(base, "lora")
    encoded.reference = of_the_base(model, encoded)
    model.shortcuts.prove(encoded, learning=True)
    assert model.shortcuts.refused == []
    from tunesmith.engine.batches import Batches
    from tunesmith.engine.network import override_dropout

    told = model.shortcuts.told(encoded, Batches(encoded.ids, 8, None, 0), 1)
    assert not any(line.startswith("two answers") for line in told), "in training each row draws its own dropout"
    assert any("dropout" in why for why in model.shortcuts.refused)
    override_dropout(model.net, 0.0)
    told = model.shortcuts.told(encoded, Batches(encoded.ids, 8, None, 0), 1)
    line = next(line for line in told if line.startswith("two answers a row"))
    assert int(line.split("run once, ")[1].split("%")[0]) > 20


@pytest.mark.parametrize("loss", ("dpo", "ipo", "orpo", "simpo", "kto"))
def test_a_step_is_the_same_however_it_is_cut_and_run(loss: str, base: Path) -> None:
    model, encoded, _ = made(base, "full", loss)
    encoded.reference = of_the_base(model, encoded) - np.arange(16).reshape(8, 2) / 8
    model.shortcuts.prove(encoded, learning=True)
    task, found = model.plan.task, []
    rows = list(range(8))
    for way, pieces in ((model.shortcuts.plain, [[r] for r in rows]), (model.shortcuts.way, [rows[:5], rows[5:]])):
        model.net.zero_grad()
        faced = task.faced(way, encoded, rows, 64)
        loss_ = sum(task.step_loss(way, faced, piece) for piece in pieces)
        torch.autograd.backward(loss_)
        found.append((loss_.item(), torch.cat([p.grad.flatten() for p in model.net.parameters()])))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert (found[0][1] - found[1][1]).abs().max() <= 1e-4 * found[0][1].abs().max()
    assert found[0][0] / 8 == pytest.approx(task.mean_loss(model.outputs(encoded), encoded), rel=1e-4)

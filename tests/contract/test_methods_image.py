"""Every method on every family that sees: what moves, what is saved, what opens it, what merges, what is kept of it.

Methods are listed from their folder; a refusal that is not in the table below fails. By default every method meets
some families and every family some methods, LoRA and adapters all of them; all pairs run under the mark `slow`.
"""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pictures
from kit import settings
from tunesmith.bases.family import VisionFamily
from tunesmith.bases.find import find
from tunesmith.data.ledger import Ledger
from tunesmith.data.table import read
from tunesmith.engine.batches import collate
from tunesmith.errors import TunesmithError
from tunesmith.golden import EXACT, error_of
from tunesmith.methods import METHODS
from tunesmith.model import Model, build, ecosystem, facts_for, load, save, weights
from tunesmith.plan_text import make_plan
from tunesmith.prepare import run_steps
from tunesmith.progress import Progress
from tunesmith.prove import plain_logits, plain_network
from tunesmith.training.given import Job
from tunesmith.training.loop import Loop

CONVOLUTIONAL = ("convnext", "resnet", "mobilenet_v1", "mobilenet_v2", "efficientnet")
REFUSED = {
    *itertools.product(("prompt", "ptuning", "prefix", "expand"), pictures.FAMILIES),
    *itertools.product(("ia3",), CONVOLUTIONAL),
}  # fmt: skip
"""For a reason of the architecture; may only shrink."""


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("seeing")
    return {family: pictures.make(family, top / family) for family in pictures.FAMILIES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.shapes(tmp_path_factory.mktemp("shapes") / "data", each=3)


def case(method: Any, base: Path, folder: Path, penalties: Any = (), **train: Any) -> tuple[Model, list[Any]]:
    """A fresh model of a method, and the rows of the folder."""
    if isinstance(method, str):
        method = {"name": method, **settings(method, base)}
    plan = make_plan(
        {
            "task": "image", "base": str(base), "data": str(folder), "method": method, "penalties": list(penalties),
            "train": {"epochs": 1, "batch": 9, "warmup": 0.0, "keep": "last", "lr": 1e-2, **train},
        }
    )  # fmt: skip
    table, ledger = read(folder), Ledger()
    plan = plan.model_copy(update={"task": plan.task.resolved(table)})
    records = list(run_steps(plan, "every_row", ledger.add(table), plan.task.roles(), ledger))
    found = find(str(base))
    processor = plan.task.processor(found)
    return build(plan, facts_for(plan, records, plan.task.roles(), found, processor), found, processor), records


def one_step(model: Model, encoded: Any) -> Loop:
    loop = Loop(Job(model, encoded, encoded, lambda _: {model.plan.best_metric: 0.0}, Path(), save=False))
    loop.run()
    return loop


def pairs(*, some: bool) -> list[tuple[str, str]]:
    """Every pair of method and family, or some of them."""
    every = [
        (i + j, m, f) for (i, m), (j, f) in itertools.product(enumerate(METHODS.names()), enumerate(pictures.FAMILIES))
    ]
    return [(m, f) for n, m, f in every if not some or m in ("lora", "adapter") or n % 3 == 0]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "family"), pairs(some=False))
def test_matrix(method: str, family: str, bases: dict[str, Path], folder: Path, tmp_path: Path) -> None:
    check_contract(method, family, bases, folder, tmp_path)


@pytest.mark.parametrize(("method", "family"), pairs(some=True))
def test_contract(method: str, family: str, bases: dict[str, Path], folder: Path, tmp_path: Path) -> None:
    check_contract(method, family, bases, folder, tmp_path)


def check_contract(method: str, family: str, bases: dict[str, Path], folder: Path, tmp_path: Path) -> None:
    try:
        model, records = case(method, bases[family], folder)
    except TunesmithError as error:
        assert (method, family) in REFUSED, f"{method} must work on {family}, but: {error}"
        assert family in str(error) and "Use " in str(error)
        return
    assert (method, family) not in REFUSED, "it works: take it out of the table"
    roles = model.plan.task.roles()
    encoded = model.encode(records, roles)
    before = {n: t.detach().clone() for n, t in model.net.state_dict().items()}
    moving = set(weights(model))
    one_step(model, encoded)
    after = model.net.state_dict()
    still = [n for n in before if n not in moving and not torch.equal(before[n], after[n])]
    assert not still, f"frozen tensors or statistics moved: {still[:3]}"
    assert any(not torch.equal(before[n], after[n]) for n in moving), "nothing moved"
    logits = model.outputs(encoded)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert error_of(again.outputs(again.encode(records, roles)), logits) <= EXACT
    if ecosystem(model.plan, model.family) == "plain":
        tensors = {**collate(encoded, range(len(encoded)), 0).inputs, "logits": torch.from_numpy(logits)}
        with torch.inference_mode():
            plain = plain_logits(plain_network(tmp_path / "model", model), model, tensors)
        assert error_of(plain, logits) <= EXACT, "other tools get other logits"
    if model.plan.method.can_fold():
        folded = replace(again, net=type(again.net)(again.plan.method.fold(again.net.auto), 0, logits.shape[1]))
        assert error_of(folded.outputs(encoded), logits) <= EXACT, "merged differs from unmerged"


CACHED = [
    *itertools.product(["head", {"name": "layers", "top": 1}], pictures.FAMILIES),
    ({"name": "lora", "top": 1}, "swin"), ({"name": "adapter", "top": 1}, "mobilenet_v2"),
    ({"name": "gradual", "depth": 1}, "convnext"), ({"name": "lora", "top": 1}, "vit"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "family"), CACHED, ids=str)
def test_frozen_blocks_run_once_a_row_and_nothing_else_changes(
    method: Any, family: str, bases: dict[str, Path], folder: Path
) -> None:
    steps = []
    for cache in ("memory", "off"):
        model, records = case(method, bases[family], folder, epochs=2, dropout=0.0)
        model.plan = model.plan.model_copy(update={"engine": model.plan.engine.model_copy(update={"cache": cache})})
        encoded = model.encode(records, model.plan.task.roles())
        one_step(model, encoded)
        told = model.shortcuts.said
        assert any("never move" in line for line in told) == (cache == "memory"), told
        steps.append(model.outputs(encoded))
        kept = model.shortcuts.way.rested(encoded)
        assert (kept is not None) == (cache == "memory" and method == "head")
        if kept is not None:  # what is kept of rows, and what the head makes of it
            rows = list(range(len(encoded)))[::-1]
            made = kept[1](kept[0](rows)).detach().numpy()
            assert error_of(steps[0][::-1], made) <= EXACT
    assert error_of(steps[0], steps[1]) <= EXACT


def test_a_wrong_cache_is_found_out(bases: dict[str, Path], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunesmith.engine.skipping import Skipping

    model, records = case({"name": "layers", "top": 1}, bases["resnet"], folder)
    right = Skipping.lower
    monkeypatch.setattr(Skipping, "lower", lambda *a: (right(*a)[0], right(*a)[1] + 0.1))
    encoded = model.encode(records, model.plan.task.roles())
    model.shortcuts.asked = model.plan.engine.model_copy(update={"cache": "memory"})
    model.shortcuts.cache({"train": encoded}, Progress(silent=True))
    assert any("differed from the library" in line for line in model.shortcuts.refused)
    assert model.shortcuts.way is model.shortcuts.plain


@pytest.mark.parametrize("family", ("resnet", "mobilenet_v2", "efficientnet"))
def test_statistics_rest_unless_the_plan_moves_them(family: str, bases: dict[str, Path], folder: Path) -> None:
    def ran(**train: Any) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], Model]:
        model, records = case("full", bases[family], folder, **train)
        before = {n: b.clone() for n, b in model.net.named_buffers() if "running" in n}
        one_step(model, model.encode(records, model.plan.task.roles()))
        return before, dict(model.net.named_buffers()), model

    before, after, _ = ran()
    assert before and all(torch.equal(before[n], after[n]) for n in before)
    before, after, _ = ran(batch_norm="moving")
    assert all(not torch.equal(before[n], after[n]) for n in before)


def test_moving_statistics_of_mobilenet_are_warned_of(bases: dict[str, Path], folder: Path) -> None:
    model, records = case("full", bases["mobilenet_v2"], folder, batch_norm="moving")
    loop = one_step(model, model.encode(records, model.plan.task.roles()))
    assert any("take 0.997 of each batch" in w for w in loop.state.warnings)


def test_moving_statistics_are_saved_and_come_back(bases: dict[str, Path], folder: Path, tmp_path: Path) -> None:
    model, records = case("full", bases["resnet"], folder, batch_norm="moving")
    encoded = model.encode(records, model.plan.task.roles())
    one_step(model, encoded)
    logits = model.outputs(encoded)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert error_of(again.outputs(again.encode(records, model.plan.task.roles())), logits) <= EXACT


def test_moving_statistics_are_refused_where_no_file_would_hold_them(bases: dict[str, Path], folder: Path) -> None:
    with pytest.raises(TunesmithError, match="train.batch_norm: lora saves what it added"):
        case("lora", bases["resnet"], folder, batch_norm="moving")


def test_norms_alone_learn(bases: dict[str, Path], folder: Path) -> None:
    for family in pictures.FAMILIES:
        model, _ = case({"name": "layers", "kinds": ["norms"]}, bases[family], folder)
        moving = {n for n in weights(model) if not model.family.is_head(n.removeprefix("auto."))}
        kinds = {type(model.net.get_submodule(n.rpartition(".")[0])).__name__ for n in moving}
        assert kinds and all("Norm" in kind for kind in kinds), kinds


def test_updates_stand_where_channels_mix(bases: dict[str, Path], folder: Path) -> None:
    """No low-rank update of a depthwise convolution, and none outside the blocks."""
    for family in pictures.FAMILIES:
        model, _ = case("lora", bases[family], folder)
        seen = [n for n in weights(model) if "lora_A" in n]
        assert isinstance(model.family, VisionFamily)
        assert len(seen) >= 2, family
        layers = [model.net.get_submodule(n.split(".lora_A")[0]).get_base_layer() for n in seen]
        assert all(getattr(layer, "groups", 1) == 1 for layer in layers), family
        assert np.all([model.family.block_of(n.removeprefix("auto.")) is not None for n in seen])

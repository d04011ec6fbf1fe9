"""Every method as that of the second tower, and every method beside one: what moves, what is saved, what comes back.

By default a second tower's method meets one family and some, LoRA and adapters, two; all pairs run under `slow`.
"""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

import fused
import pictures
import tiny
from kit import settings
from tunesmith.bases.find import find
from tunesmith.bases.load import load_net
from tunesmith.data.ledger import Ledger
from tunesmith.data.table import read
from tunesmith.engine.batches import collate
from tunesmith.errors import TunesmithError
from tunesmith.golden import EXACT, error_of
from tunesmith.methods import METHODS
from tunesmith.model import Model, build, ecosystem, facts_for, load, save, weights
from tunesmith.plan_text import make_plan
from tunesmith.prepare import run_steps
from tunesmith.training.given import Job
from tunesmith.training.loop import Loop

SEEING = ("resnet", "vit")
UNSEEING = {*itertools.product(("prompt", "ptuning", "prefix", "expand"), pictures.FAMILIES),
            *itertools.product(("ia3",), set(pictures.FAMILIES) - {"vit", "swin"})}  # fmt: skip
"""As for the task `image`, for a reason of the architecture; may only shrink."""
UNREADING = {("expand", "bert")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("fused")
    fused.write(top / "data", rows=10, lacking=5)
    for family in pictures.FAMILIES:
        pictures.make(family, top / family)
    for family in ("bert", "qwen2"):
        tiny.make(family, top / family)
    return top


def case(folder: Path, base: str, family: str, **more: Any) -> tuple[Model, list[Any]]:
    """A fresh model of two towers, and its rows."""
    train = {"epochs": 1, "batch": 10, "warmup": 0.0, "keep": "last"} | more.pop("train", {})
    plan = make_plan(fused.tree(folder / base, folder / family, folder / "data" / "table.csv", train=train, **more))
    table, ledger = read(folder / "data" / "table.csv"), Ledger()
    roles = plan.task.roles()
    records = list(run_steps(plan, "every_row", ledger.add(table), roles, ledger))
    found = find(plan.base.name)
    processor = plan.task.processor(found)
    return build(plan, facts_for(plan, records, roles, found, processor), found, processor), records


def one_step(model: Model, encoded: Any) -> Loop:
    loop = Loop(Job(model, encoded, encoded, lambda _: {model.plan.best_metric: 0.0}, Path(), save=False))
    loop.run()
    return loop


def spelt(method: str, base: Path) -> dict[str, Any]:
    return {"name": method, **settings(method, base)}


def check(model: Model, records: list[Any], folder: Path) -> None:
    """A step moves what may move and nothing else; the saved model answers the same; the tower opens on its own."""
    encoded = model.encode(records, model.plan.task.roles())
    before = {n: t.detach().clone() for n, t in model.net.state_dict().items()}
    moving = set(weights(model))
    one_step(model, encoded)
    after = model.net.state_dict()
    still = [n for n in before if n not in moving and not torch.equal(before[n], after[n])]
    assert not still, f"frozen tensors or statistics moved: {still[:3]}"
    for tower in (True, False):
        own = [n for n in moving if n.startswith("tower.net.") == tower]
        assert any(not torch.equal(before[n], after[n]) for n in own), f"nothing moved, tower: {tower}"
    assert not torch.equal(before["tower.absent"], after["tower.absent"])
    logits = model.outputs(encoded)
    save(model, folder)
    assert ecosystem(model.plan, model.family) == "tunesmith"
    again = load(folder)
    assert error_of(again.outputs(again.encode(records, model.plan.task.roles())), logits) <= EXACT
    assert model.net.tower is not None and encoded.beside is not None
    half = model.halves[1]
    if half.method.opens_in() != "plain" or (half.family.asks_strides and half.method.keeps_base()):  # type: ignore[attr-defined]
        return
    alone = opened(folder / "tower", model)
    pixels = collate(encoded.beside, [1, 2, 3], 0).inputs["pixel_values"]
    with torch.inference_mode():
        seen = alone(pixel_values=pixels).logits.numpy()
        assert error_of(seen, model.net.tower(encoded, [1, 2, 3]).numpy()) <= EXACT


def opened(folder: Path, model: Model) -> Any:
    """The tower's folder as transformers and PEFT open it."""
    from transformers import AutoModelForImageClassification

    if not (folder / "adapter_config.json").is_file():
        return AutoModelForImageClassification.from_pretrained(folder).eval()
    from peft import PeftModel

    from tunesmith.bases.load import quiet

    tower = model.net.tower
    assert tower is not None
    base = load_net(tower.sight.found, purpose="image", num_labels=model.plan.task.outputs(model.facts))
    with quiet():
        return PeftModel.from_pretrained(base, folder).eval()


def pairs(*, some: bool) -> list[tuple[str, str]]:
    families = enumerate(SEEING if some else pictures.FAMILIES)
    every = itertools.product(enumerate(METHODS.names()), families)
    return [(m, f) for (i, m), (j, f) in every if not some or m == "lora" or (i + j) % 2 == 0]


def check_tower(method: str, family: str, folder: Path, tmp_path: Path) -> None:
    more: dict[str, Any] = {"task": {"no_image": "learn"}, "method": "head"}
    try:
        model, records = case(folder, "bert", family, tower={"method": spelt(method, folder / family)}, **more)
    except TunesmithError as error:
        assert (method, family) in UNSEEING, f"{method} must work in a tower of {family}, but: {error}"
        assert str(error).startswith("tower.method: ") or "tower.method: " in str(error)
        return
    assert (method, family) not in UNSEEING, "it works: take it out of the table"
    check(model, records, tmp_path / "model")


@pytest.mark.slow
@pytest.mark.parametrize(("method", "family"), pairs(some=False))
def test_tower_matrix(method: str, family: str, folder: Path, tmp_path: Path) -> None:
    check_tower(method, family, folder, tmp_path)


@pytest.mark.parametrize(("method", "family"), pairs(some=True))
def test_a_method_of_its_own_for_the_tower(method: str, family: str, folder: Path, tmp_path: Path) -> None:
    check_tower(method, family, folder, tmp_path)


@pytest.mark.parametrize(("method", "base"), zip(METHODS.names(), itertools.cycle(("bert", "qwen2")), strict=False))
def test_every_method_beside_a_tower(method: str, base: str, folder: Path, tmp_path: Path) -> None:
    try:
        model, records = case(folder, base, "resnet", method=spelt(method, folder / base), task={"no_image": "learn"})
    except TunesmithError as error:
        assert (method, base) in UNREADING and str(error).startswith("method: ")
        return
    assert (method, base) not in UNREADING, "it works: take it out of the table"
    check(model, records, tmp_path / "model")


TASKS = {
    "regress": {"label": "hours"}, "multilabel": {"label": "label", "separator": " "},
    "classify": {"label": "label", "focal": 2.0},
}  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("method", ["head", "lora"])
def test_every_task_on_texts_takes_a_tower(task: str, method: str, folder: Path, tmp_path: Path) -> None:
    asked = {"name": task, "no_image": "learn", **TASKS[task]}
    model, records = case(folder, "bert", "resnet", task=asked, tower={"method": method})
    records = list(model.plan.task.taken_in(records))
    check(model, records, tmp_path / "model")


@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_frozen_blocks_of_the_tower_run_once_and_nothing_else_changes(family: str, folder: Path) -> None:
    found = []
    for cache in ("memory", "off"):
        model, records = case(folder, "bert", family, train={"epochs": 2, "dropout": 0.0},
                              engine={"cache": cache}, task={"no_image": "learn"})  # fmt: skip
        encoded = model.encode(records[1:5], model.plan.task.roles())
        one_step(model, encoded)
        told = [line for line in model.shortcuts.said if line.startswith("tower: trunk cache")]
        assert bool(told) == (cache == "memory"), model.shortcuts.said
        found.append(model.outputs(encoded))
    assert error_of(found[0], found[1]) <= EXACT


def test_a_piece_of_a_step_holds_no_more_images_than_fit(folder: Path) -> None:
    model, records = case(folder, "bert", "resnet", task={"no_image": "learn"})
    encoded = model.encode(records, model.plan.task.roles())
    places = encoded.beside.pixels.places  # type: ignore[union-attr]
    for way in (model.shortcuts.plain, model.shortcuts.way_for(encoded)):
        found = list(way.pieces(encoded, range(10), 3 * places))
        assert max(map(len, found)) <= 3 and sorted(r for piece in found for r in piece) == list(range(10))


def test_each_tower_learns_at_its_own_rate(folder: Path) -> None:
    from tunesmith.training.optimizer import groups

    model, _ = case(folder, "bert", "resnet", tower={"method": "full", "lr": 0.25}, task={"no_image": "learn"})
    peaks = {name: g["peak"] for g in groups(model, weights(model)) for name in g["names"]}
    assert {rate for name, rate in peaks.items() if name.startswith("tower.")} == {0.25}
    assert {rate for name, rate in peaks.items() if not name.startswith("tower.")} == {0.01}

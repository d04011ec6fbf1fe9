"""Every method on two towers, both or one of which learn: what moves, what is saved, what opens it, what merges.

Methods are listed from their folder; a refusal that is not in the table below fails. By default every method meets
CLIP with both towers, and some meet SigLIP and single towers; all combinations run under the mark `slow`.
"""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import towers
from kit import settings
from tunesmith.engine.batches import collate
from tunesmith.errors import TunesmithError
from tunesmith.golden import EXACT, error_of
from tunesmith.methods import METHODS
from tunesmith.model import Model, ecosystem, load, save, weights
from tunesmith.prove import plain_logits, plain_network
from tunesmith.training.given import Job
from tunesmith.training.loop import Loop

REFUSED = {"prompt": "two towers", "ptuning": "two towers", "prefix": "two towers", "expand": "counted apart"}
"""For a reason of the architecture; may only shrink."""
SOME = [
    *((m, "clip", "both") for m in METHODS.names()),
    ("full", "siglip", "both"), ("lora", "siglip", "both"), ("head", "siglip", "both"), ("layers", "siglip", "image"),
    ("lora", "clip", "text"), ("full", "clip", "image"), ("bitfit", "siglip", "text"), ("lora", "siglip", "image"),
    ("adapter", "siglip", "text"), ("gradual", "clip", "text"),
]  # fmt: skip


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("towers")
    return {family: towers.make(family, top / family) for family in towers.FAMILIES}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return towers.captioned(tmp_path_factory.mktemp("captions") / "data", each=2)


def asked(model: Model, records: Any) -> np.ndarray:
    """Vectors, cosine and logit of each row."""
    return model.outputs(model.encode(records, model.plan.task.roles(labelled=False)))


def one_step(model: Model, encoded: Any) -> Loop:
    loop = Loop(Job(model, encoded, encoded, lambda _: {model.plan.best_metric: 0.0}, Path(), save=False))
    loop.run()
    return loop


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "family", "which"), itertools.product(METHODS.names(), towers.FAMILIES, ("both", "image", "text"))
)
def test_matrix(method: str, family: str, which: str, bases: dict[str, Path], data: Path, tmp_path: Path) -> None:
    check_contract(method, family, which, bases, data, tmp_path)


@pytest.mark.parametrize(("method", "family", "which"), SOME)
def test_contract(method: str, family: str, which: str, bases: dict[str, Path], data: Path, tmp_path: Path) -> None:
    check_contract(method, family, which, bases, data, tmp_path)


def check_contract(method: str, family: str, which: str, bases: dict[str, Path], data: Path, folder: Path) -> None:
    spelt = {"name": method, **settings(method, bases[family])}
    try:
        model, encoded, records = towers.made(bases[family], data, spelt, "test.csv", task={"towers": which})
    except TunesmithError as error:
        assert REFUSED.get(method, "\0") in str(error), f"{method} must work on {family}, but: {error}"
        assert family in str(error) and "Use " in str(error)
        return
    assert method not in REFUSED, "it works: take it out of the table"
    before = {n: t.detach().clone() for n, t in model.net.state_dict().items()}
    moving = set(weights(model))
    one_step(model, encoded)
    after = model.net.state_dict()
    still = [n for n in before if n not in moving and not torch.equal(before[n], after[n])]
    assert not still, f"frozen tensors moved: {still[:3]}"
    moved = {n for n in moving if not torch.equal(before[n], after[n])}
    assert {n for n in moved if n.endswith("logit_scale")}, "the scale learns under every method"
    parts = {"image": ("vision_model", "visual_projection"), "text": ("text_model", "text_projection")}
    for tower, names in parts.items():
        learns = which in ("both", tower)
        assert any(name in n for n in moved for name in names) == learns, f"{tower} tower"
    said = asked(model, records)
    save(model, folder / "model")
    again = load(folder / "model")
    assert error_of(asked(again, records), said) <= EXACT
    if ecosystem(model.plan, model.family) == "plain":
        part = model.encode(records, model.plan.task.roles(labelled=False))
        tensors: dict[str, Any] = dict(collate(part, range(len(part)), model.tokenizer.pad_token_id).inputs)
        with torch.inference_mode():
            plain = plain_logits(plain_network(folder / "model", model), model, tensors)
        assert error_of(plain, said) <= EXACT, "other tools get other vectors, or another scale"
    if model.plan.method.can_fold():
        folded = replace(again, net=type(again.net)(again.plan.method.fold(again.net.auto), 0, 1))
        assert error_of(asked(folded, records), said) <= EXACT, "merged differs from unmerged"


CACHED = [
    ("full", "clip", "text", {"vision_model never moves; its vectors are"}),
    ("lora", "siglip", "image", {"text_model never moves; its vectors are"}),
    ("head", "clip", "both", {"vision_model never moves; what its head", "text_model never moves; what its head"}),
    ("head", "siglip", "text", {"vision_model never moves; its vectors", "text_model never moves; what its head"}),
]


@pytest.mark.parametrize(("method", "family", "which", "told"), CACHED)
def test_a_tower_that_rests_runs_once_a_row_and_nothing_else_changes(
    method: str, family: str, which: str, told: set[str], bases: dict[str, Path], data: Path
) -> None:
    found = []
    for cache in ("auto", "off"):
        model, encoded, records = towers.made(
            bases[family], data, method, "test.csv", task={"towers": which}, engine={"cache": cache},
            train={"epochs": 2, "dropout": 0.0},
        )  # fmt: skip
        one_step(model, encoded)
        said = model.shortcuts.said
        for line in told:
            assert any(line in s for s in said) == (cache == "auto"), said
        found.append(asked(model, records))
    assert error_of(found[0], found[1]) <= EXACT


def test_a_wrong_cache_is_found_out(bases: dict[str, Path], data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunesmith.engine.towers import TowerShortcuts

    right = TowerShortcuts._states
    monkeypatch.setattr(TowerShortcuts, "_states", lambda *a, **k: right(*a, **k) + 0.1)
    model, encoded, _ = towers.made(bases["clip"], data, "head", "test.csv")
    one_step(model, encoded)
    assert not model.shortcuts.way.kept and any("differed from the library" in s for s in model.shortcuts.said)


def test_blocks_are_counted_from_the_top(bases: dict[str, Path], data: Path) -> None:
    """The text tower is a block lower: the top block is the last one of both, the lowest the image tower's alone."""
    model, _, _ = towers.made(bases["clip"], data, {"name": "layers", "top": 1})
    moving = {model.family.bare(n.removeprefix("auto.")) for n in weights(model)}
    blocks = {n.split(".layers.")[0] + n.split(".layers.")[1][:2] for n in moving if ".layers." in n}
    assert blocks == {"vision_model.encoder2.", "text_model.encoder1."}
    lowest = {n for n, _ in model.net.auto.named_parameters() if model.family.block_of(n) == 0}
    assert lowest and all(n.startswith("vision_model.encoder.layers.0.") for n in lowest)


def test_the_scale_is_bounded_as_in_the_paper(bases: dict[str, Path], data: Path) -> None:
    for family, bounded in (("clip", True), ("siglip", False)):
        model, _, _ = towers.made(bases[family], data)
        model.net.auto.logit_scale.data.fill_(7.0)
        model.plan.task.bound(model.net.auto)
        assert (float(model.net.auto.logit_scale.detach().exp()) <= 100.001) == bounded


def test_heads_of_attention_are_counted_in_one_stack(bases: dict[str, Path], data: Path) -> None:
    heads = {"name": "layers", "heads": {1: [0]}}
    with pytest.raises(TunesmithError, match="two towers. Use top"):
        towers.made(bases["clip"], data, heads)

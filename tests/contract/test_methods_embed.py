"""Every method x embeddings x several architectures: what moves, what is saved, what opens it, what merges."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import embedding
from kit import TinyBases, settings
from tunesmith.engine.batches import collate
from tunesmith.errors import TunesmithError
from tunesmith.golden import EXACT, error_of
from tunesmith.methods import METHODS
from tunesmith.model import Model, ecosystem, load, save, weights
from tunesmith.plan_rules import objections
from tunesmith.prove import plain_logits, plain_network
from tunesmith.training.given import Job
from tunesmith.training.loop import Loop

OBJECTS = {"head": "embed has no head"}
REFUSED = {
    ("prefix", "distilbert"), ("bitfit", "llama"), ("mixed", "llama"),
    *(("expand", family) for family in ("bert", "distilbert", "roberta", "xlm-roberta", "electra", "deberta-v2")),
}  # fmt: skip
"""Pairs that cannot work, each for a reason of the architecture."""
NAMES = [name for name in METHODS.names() if name not in OBJECTS]


def asked(model: Model, records: Any) -> np.ndarray:
    return model.outputs(model.encode(records, model.plan.task.roles(labelled=False)))


def check(name: str, family: str, bases: TinyBases, folder: Path, pool: str) -> None:
    rows = embedding.pairs(8, wrong=1)
    try:
        model, encoded, records = embedding.made(
            bases[family], rows, {"name": name, **settings(name, bases[family])}, pool=pool
        )
    except TunesmithError as error:
        assert (name, family) in REFUSED, f"{name} must work on {family}, but: {error}"
        pytest.skip(f"refused: {error}")
    before = {n: p.detach().clone() for n, p in model.net.named_parameters()}
    moving = set(weights(model))
    job = Job(model, encoded, encoded, lambda _: {model.plan.best_metric: 0.0}, Path(), save=False)
    Loop(job).run()
    after = dict(model.net.named_parameters())
    assert not [n for n in after if n not in moving and not torch.equal(before[n], after[n])], "frozen tensors moved"
    assert [n for n in moving if not torch.equal(before[n], after[n])], "nothing moved"
    assert not [n for n in moving if "pooler" in n], "a pooler that nobody reads could be trained"
    vectors = asked(model, records)
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() <= EXACT
    save(model, folder / "model")
    again = load(folder / "model")
    assert error_of(asked(again, records), vectors) <= EXACT
    check_plain(model, records, folder, vectors)
    if model.plan.method.can_fold():
        net = type(again.net)(again.plan.method.fold(again.net.auto), 0, 1, mean=False, reads=again.net.reads)
        net.mean = again.net.mean
        assert error_of(asked(replace(again, net=net), records), vectors) <= EXACT, "merged differs from unmerged"


def check_plain(model: Model, records: Any, folder: Path, vectors: np.ndarray) -> None:
    if ecosystem(model.plan) != "plain":
        return
    part = model.encode(records, model.plan.task.roles(labelled=False))
    tensors: dict[str, Any] = dict(collate(part, range(len(part)), model.tokenizer.pad_token_id).inputs)
    with torch.inference_mode():
        plain = plain_logits(plain_network(folder / "model", model), model, tensors)
    assert error_of(plain, vectors) <= EXACT, "other tools get other vectors"


@pytest.mark.parametrize("name", NAMES)
def test_on_bert(name: str, tiny_bases: TinyBases, tmp_path: Path) -> None:
    check(name, "bert", tiny_bases, tmp_path, "mean")


@pytest.mark.parametrize(
    ("name", "family", "pool"),
    [
        ("lora", "roberta", "base"), ("full", "distilbert", "mean"), ("layers", "llama", "base"),
        ("lora", "qwen2", "mean"), ("prompt", "llama", "base"), ("adapter", "electra", "base"),
        ("full", "deberta-v2", "mean"), ("ia3", "qwen2", "base"), ("bitfit", "bert", "base"),
    ],
)  # fmt: skip
def test_on_others(name: str, family: str, pool: str, tiny_bases: TinyBases, tmp_path: Path) -> None:
    check(name, family, tiny_bases, tmp_path, pool)


@pytest.mark.slow
@pytest.mark.parametrize("pool", ("base", "mean"))
@pytest.mark.parametrize("family", ("bert", "distilbert", "roberta", "electra", "deberta-v2", "llama", "qwen2"))
@pytest.mark.parametrize("name", NAMES)
def test_matrix(name: str, family: str, pool: str, tiny_bases: TinyBases, tmp_path: Path) -> None:
    check(name, family, tiny_bases, tmp_path, pool)


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_objections(name: str, tiny_bases: TinyBases) -> None:
    from tunesmith.plan_text import make_plan

    tree = embedding.tree(tiny_bases["bert"], Path("x.jsonl"), Path("run"), method=name)
    with pytest.raises(TunesmithError, match=OBJECTS[name]):
        plan = make_plan(tree)
        raise TunesmithError("; ".join(objections(plan)) or "no objection")


def test_frozen_blocks_are_kept(tiny_bases: TinyBases) -> None:
    """The trunk cache holds what the blocks below the cut say of every text, and nothing changes by it."""
    found = []
    for cache in ("off", "memory"):
        model, encoded, records = embedding.made(
            tiny_bases["bert"], embedding.pairs(12), {"name": "layers", "top": 1}, symmetric=True
        )
        plan = model.plan.model_copy(update={"engine": model.plan.engine.model_copy(update={"cache": cache})})
        model = replace(model, plan=plan)
        Loop(Job(model, encoded, encoded, lambda _: {"ndcg_at_10": 0.0}, Path(), save=False)).run()
        found.append((asked(model, records), bool(getattr(model.shortcuts.way, "caches", None))))
    assert [kept for _, kept in found] == [False, True]
    assert np.abs(found[0][0] - found[1][0]).max() <= 1e-5

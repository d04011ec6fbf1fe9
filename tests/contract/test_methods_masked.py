"""Every method x masked words: what moves, what is saved, what opens it, what merges."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import small
from kit import TinyBases, settings
from tunesmith.engine.batches import collate
from tunesmith.errors import TunesmithError
from tunesmith.golden import EXACT, beside, error_of
from tunesmith.methods import METHODS
from tunesmith.model import ecosystem, load, save, weights
from tunesmith.plan_text import make_plan
from tunesmith.prove import plain_logits, plain_network

FAMILIES = ("bert", "roberta", "distilbert", "electra", "deberta-v2")
REFUSED = {*(("expand", family) for family in FAMILIES), ("prefix", "distilbert"), ("prefix", "deberta-v2")}
"""Pairs that cannot work, each for a reason of the architecture."""
WHOLE = [name for name in METHODS.names() if METHODS.find(name).whole and name != "expand"]
OTHERS = [("lora", "roberta"), ("full", "distilbert"), ("prompt", "electra"), ("adapter", "deberta-v2")]


def check(name: str, family: str, bases: TinyBases, folder: Path, head: str = "own") -> None:
    base = bases[f"{family} language" if head == "own" else family]
    plan = make_plan({
        "task": {"name": "masked", "text": "text", "max_tokens": 32, "head": head}, "base": str(base),
        "data": "unused.csv", "method": {"name": name, **settings(name, base)},
        "train": {"epochs": 1, "batch": 5, "warmup": 0.0, "keep": "last"},
    })  # fmt: skip
    records = small.records()
    try:
        model = small.model(plan, records)
    except TunesmithError as error:
        assert (name, family) in REFUSED, f"{name} must work on {family}, but: {error}"
        pytest.skip(f"refused: {error}")
    assert (name, family) not in REFUSED, "it works: take it out of the list"
    before, moving = {n: p.detach().clone() for n, p in model.net.named_parameters()}, set(weights(model))
    small.loop(model, small.encoded(model, records)).run()
    after = dict(model.net.named_parameters())
    assert not [n for n in after if n not in moving and not torch.equal(before[n], after[n])], "frozen tensors moved"
    assert [n for n in moving if not torch.equal(before[n], after[n])], "nothing moved"
    encoded = small.encoded(model, records)
    said = model.outputs(encoded)
    save(model, folder / "model")
    again = load(folder / "model")
    assert error_of(again.outputs(small.encoded(again, records)), said) <= EXACT
    if ecosystem(model.plan) == "plain":
        assert encoded.labels is not None
        tensors: dict[str, Any] = dict(collate(encoded, range(len(encoded)), model.tokenizer.pad_token_id).inputs)
        tensors |= {"logits": torch.from_numpy(said), "labels": torch.from_numpy(beside(encoded.labels))}
        with torch.inference_mode():
            plain = plain_logits(plain_network(folder / "model", model), model, tensors)
        assert error_of(plain, said) <= EXACT, "other tools say something else"
    if model.plan.method.can_fold():
        folded = replace(again, net=type(again.net)(again.plan.method.fold(again.net.auto), 0, 3))
        assert error_of(folded.outputs(encoded), said) <= EXACT, "merged differs from unmerged"


@pytest.mark.parametrize("name", METHODS.names())
def test_on_bert(name: str, tiny_bases: TinyBases, tmp_path: Path) -> None:
    check(name, "bert", tiny_bases, tmp_path)


@pytest.mark.parametrize(("name", "family"), OTHERS)
def test_on_others(name: str, family: str, tiny_bases: TinyBases, tmp_path: Path) -> None:
    check(name, family, tiny_bases, tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_head_on_every_family(family: str, tiny_bases: TinyBases, tmp_path: Path) -> None:
    check("layers", family, tiny_bases, tmp_path, head="new")


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", METHODS.names())
def test_matrix(name: str, family: str, tiny_bases: TinyBases, tmp_path: Path) -> None:
    check(name, family, tiny_bases, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", WHOLE)
def test_matrix_of_new_heads(name: str, family: str, tiny_bases: TinyBases, tmp_path: Path) -> None:
    check(name, family, tiny_bases, tmp_path, head="new")

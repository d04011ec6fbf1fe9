"""Penalties that make or mix rows (mixup, cutoff, smote) with every task and method that does not refuse them: what
moves is what the method moves, otherwise than without the penalty, and the same each time.

A refusal that is not in `refuses` below fails, and so does a plan that is taken and should not be. By default every
method meets some pairs, every pair some methods; all of them run under the mark `slow`.
"""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import test_methods_audio
import test_methods_by_tasks
import test_methods_fused
import test_methods_image
import torch

import fused
import pictures
import sounds
import tiny
from kit import TinyBases
from tunesmith.errors import TunesmithError
from tunesmith.methods import METHODS
from tunesmith.model import Model, weights
from tunesmith.penalties import PENALTIES

NAMES = ("mixup", "cutoff", "smote")
TASKS = [*test_methods_by_tasks.HEADS, *test_methods_by_tasks.TAGGING, *test_methods_by_tasks.LANGUAGE]
OF_A_ROW = ("classify", "multilabel", "regress")
Weights = dict[str, torch.Tensor]


def refuses(penalty: str, task: str, method: str) -> bool:
    """Whether there is nothing that it could make or mix; may only shrink."""
    if penalty == "smote":
        return (task, method) != ("classify", "head")
    return task not in (*OF_A_ROW, "domain") or (penalty, task) == ("mixup", "domain")


def family_of(method: str, task: str) -> str:
    if task in test_methods_by_tasks.LANGUAGE:
        return "llama"
    return "qwen2" if (method, "bert") in test_methods_by_tasks.REFUSED else "bert"


def stepped(penalties: tuple[str, ...], task: str, method: str, bases: TinyBases) -> tuple[Weights, Weights, set[str]]:
    """(weights before, weights after a step, which the method moves)."""
    torch.manual_seed(0)
    made = test_methods_by_tasks.make_case(method, task, family_of(method, task), bases, penalties)
    before = {n: p.detach().clone() for n, p in made.model.net.named_parameters()}
    test_methods_by_tasks.one_step(made)
    return before, dict(made.model.net.named_parameters()), set(weights(made.model))


def check(penalty: str, task: str, method: str, bases: TinyBases) -> None:
    if refuses(penalty, task, method):
        with pytest.raises(TunesmithError, match=penalty):
            stepped((penalty,), task, method, bases)
        return
    before, after, moving = stepped((penalty,), task, method, bases)
    _, plain, _ = stepped((), task, method, bases)
    _, again, _ = stepped((penalty,), task, method, bases)
    moved = {n for n in after if not torch.equal(before[n], after[n])}
    assert moved and moved <= moving, f"frozen tensors moved: {sorted(moved - moving)[:3]}"
    assert all(bool(torch.isfinite(t).all()) for t in after.values())
    assert all(torch.equal(after[n], again[n]) for n in after), "a second run is another"
    if all(torch.equal(before[n], plain[n]) for n in moving):
        pytest.skip("nothing is learnt from these rows without a penalty either")
    assert any(not torch.equal(after[n], plain[n]) for n in moving), f"{penalty} has no effect"


def triples(*, some: bool) -> list[tuple[str, str, str]]:
    """(penalty, task, method): all of them, or a few that have every task and every method."""
    every = itertools.product(enumerate(NAMES), enumerate(TASKS), enumerate(METHODS.names()))
    width = len(TASKS)
    return [(p, t, m) for (i, p), (j, t), (k, m) in every
            if not some or (k + 2 * i) % width == j or (p, t, m) == ("smote", "classify", "head")]  # fmt: skip


def test_all_that_make_or_mix_rows_are_tried() -> None:
    reads = {n for n in PENALTIES.names() if PENALTIES.find(n).reads_step or PENALTIES.find(n).reads_rested}
    assert reads | {"cutoff"} == set(NAMES)
    some = triples(some=True)
    assert {t for _, t, _ in some} == set(TASKS) and {m for _, _, m in some} == set(METHODS.names())


@pytest.mark.parametrize(("penalty", "task", "method"), triples(some=True))
def test_some(penalty: str, task: str, method: str, tiny_bases: TinyBases) -> None:
    check(penalty, task, method, tiny_bases)


@pytest.mark.slow
@pytest.mark.parametrize(("penalty", "task", "method"), triples(some=False))
def test_matrix(penalty: str, task: str, method: str, tiny_bases: TinyBases) -> None:
    check(penalty, task, method, tiny_bases)


def image(folder: Path, method: str, penalties: list[str]) -> tuple[Model, list[Any]]:
    base = folder / "vit"
    base = base if base.is_dir() else pictures.make("vit", base)
    shapes = folder / "shapes"
    shapes = shapes if shapes.is_dir() else pictures.shapes(shapes, each=3)
    return test_methods_image.case(method, base, shapes, penalties)


def audio(folder: Path, method: str, penalties: list[str]) -> tuple[Model, list[Any]]:
    base = folder / "wav2vec2"
    base = base if base.is_dir() else sounds.make("wav2vec2", base, "group")
    tones = folder / "tones"
    tones = tones if tones.is_dir() else sounds.tones(tones, each=3, lengths=(0.05, 0.06))
    return test_methods_audio.case(method, base, tones, penalties)


def two_towers(folder: Path, method: str, penalties: list[str]) -> tuple[Model, list[Any]]:
    if not (folder / "data").is_dir():
        fused.write(folder / "data", rows=10, lacking=0)
        if not (folder / "vit").is_dir():
            pictures.make("vit", folder / "vit")
        tiny.make("bert", folder / "bert")
    return test_methods_fused.case(folder, "bert", "vit", method=method, penalties=penalties)


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("beside")


@pytest.mark.parametrize(("penalty", "made", "method"), [
    ("mixup", image, "full"), ("mixup", audio, "lora"), ("mixup", two_towers, "lora"), ("cutoff", two_towers, "full"),
    ("smote", image, "head"), ("smote", audio, "head"),
])  # fmt: skip
def test_what_is_seen_and_heard(penalty: str, made: Callable[..., Any], method: str, beside: Path) -> None:
    found = []
    for penalties in ([penalty], [penalty], []):
        torch.manual_seed(0)
        model, records = made(beside, method, penalties)
        test_methods_image.one_step(model, model.encode(records[:-1], model.plan.task.roles()))
        found.append({n: model.net.get_parameter(n).detach().clone() for n in weights(model)
                      if n in dict(model.net.named_parameters())})  # fmt: skip
    with_it, again, plain = found
    assert all(torch.equal(with_it[n], again[n]) for n in with_it)
    assert any(not torch.equal(with_it[n], plain[n]) for n in with_it), "no effect"


@pytest.mark.parametrize("made", [image, audio])
def test_nothing_is_cut_off_what_has_no_words(made: Callable[..., Any], beside: Path) -> None:
    with pytest.raises(TunesmithError, match="cutoff blots out embeddings of words"):
        made(beside, "full", ["cutoff"])

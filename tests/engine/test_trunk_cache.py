"""The trunk cache: exact against no cache, bits when read again, never used when partial, bounded on disk."""

import errno
import functools
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import small
from kit import TinyBases
from tunesmith.engine import trunk_cache
from tunesmith.engine.batches import Batches
from tunesmith.engine.network import training_mode
from tunesmith.engine.ways import Packed
from tunesmith.errors import TunesmithError
from tunesmith.model import Model
from tunesmith.progress import Progress
from tunesmith.tasks import Encoded

ROWS = small.records()
QUIET = Progress(silent=True)
CUT: tuple[Any, ...] = (
    "head", {"name": "head", "pooler": False}, {"name": "layers", "top": 1}, {"name": "layers", "top": 2},
    {"name": "lora", "top": 2},
)  # fmt: skip


@pytest.fixture(autouse=True)
def _own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "caches"))


def made(
    bases: TinyBases,
    method: Any,
    family: str = "bert",
    task: Any = "classify",
    dropout: float | None = None,
    **engine: Any,
) -> Model:
    asked = small.plan(bases[family], method=method, task=task, epochs=3, lr=1e-3, batch=4, dropout=dropout)
    return small.model(asked.model_copy(update={"engine": asked.engine.model_copy(update=engine)}), ROWS)


def cached(model: Model, encoded: Encoded) -> trunk_cache.Cache:
    model.shortcuts.prove(encoded, learning=True)
    model.shortcuts.cache({"train": encoded}, QUIET)
    way = model.shortcuts.way
    assert isinstance(way, Packed)
    assert way.caches, model.shortcuts.refused
    return way.caches[id(encoded)]


def step(model: Model, encoded: Encoded) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Loss and gradients of one step in training mode, its dropout drawn from a fixed seed."""
    training_mode(model.net, model.plan.method, model.family)
    model.net.zero_grad(set_to_none=True)
    torch.manual_seed(5)
    (rows,) = model.shortcuts.way.pieces(encoded, range(len(encoded)), 10**6)
    logits = model.shortcuts.way.logits(encoded, rows)
    loss = model.plan.task.losses(logits, encoded.aims(rows, logits.device)[0]).sum()
    loss.backward()
    return loss.detach(), {n: p.grad.clone() for n, p in model.net.named_parameters() if p.grad is not None}


OTHERS = ("xlm-roberta", "qwen3", "mistral", "gemma", "phi", "gpt2", "gpt_neox")
FAMILIES = ("bert", "distilbert", "roberta", "electra", "llama", "qwen2")
CASES = [
    *((method, family, pool) for method in CUT for family in FAMILIES for pool in ("base", "mean")),
    *((method, family, "base") for method in ("head", {"name": "layers", "top": 1}) for family in OTHERS),
]


@pytest.mark.parametrize(("method", "family", "pool"), CASES, ids=str)
def test_loss_and_gradients_are_those_without_a_cache(
    method: Any, family: str, pool: str, tiny_bases: TinyBases
) -> None:
    model = made(tiny_bases, method, family, {"name": "classify", "pool": pool})
    encoded = small.encoded(model, ROWS)
    assert not cached(model, encoded).found
    loss, gradients = step(model, encoded)
    model.shortcuts.way.caches.clear()
    other, others = step(model, encoded)
    assert torch.allclose(loss, other, rtol=1e-6)
    assert gradients.keys() == others.keys()
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, others[name], rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize("method", ("head", {"name": "layers", "top": 1}), ids=str)
def test_read_again_it_gives_the_same_bits(method: Any, tiny_bases: TinyBases) -> None:
    first = made(tiny_bases, method)
    encoded = small.encoded(first, ROWS)
    built = cached(first, encoded)
    second = made(tiny_bases, method)
    again = small.encoded(second, ROWS)
    found = cached(second, again)
    assert found.found
    assert np.array_equal(np.asarray(built.states_TH), np.asarray(found.states_TH))
    assert "found from an earlier run" in second.shortcuts.taken[0]
    for one, two in zip(step(first, encoded)[1].values(), step(second, again)[1].values(), strict=True):
        assert torch.equal(one, two)


def test_whole_runs_with_and_without_a_cache_agree(tiny_bases: TinyBases) -> None:
    ends = []
    for kept in ("disk", "memory", "off"):
        model = made(tiny_bases, {"name": "layers", "top": 1}, cache=kept)
        encoded = small.encoded(model, ROWS)
        small.loop(model, encoded).run()
        ends.append(model.outputs(encoded))
    assert np.abs(ends[0] - ends[1]).max() <= 1e-6
    assert np.abs(ends[0] - ends[2]).max() <= 1e-4


def test_its_name_follows_everything_it_depends_on(tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, {"name": "layers", "top": 1})
    net, family, encoded = model.net.auto, model.family, small.encoded(model, ROWS)

    def key(**other: Any) -> str:
        asked = {"encoded": encoded, "cut": 3, "kept": "fp32", "mean": False} | other
        return trunk_cache.key(net, family, asked["encoded"], asked["cut"], asked["kept"], mean=asked["mean"])

    names = {key(), key(cut=2), key(kept="bf16"), key(mean=True), key(encoded=small.encoded(model, ROWS[:-1]))}
    assert len(names) == 5
    assert key() == key(encoded=small.encoded(model, ROWS))
    block = family.block_list(net)
    with torch.no_grad():
        next(block[3].parameters()).add_(1)
    assert key() in names, "what is above the cut does not count"
    with torch.no_grad():
        next(block[0].parameters()).add_(1e-6)
    assert key() not in names, "one weight below it does"


@pytest.mark.parametrize(
    ("family", "norm"),
    (("llama", "norm"), ("phi", "final_layernorm"), ("gpt2", "ln_f"), ("gpt_neox", "final_layer_norm")),
)
def test_its_name_follows_the_last_norm_where_every_block_is_below(
    family: str, norm: str, tiny_bases: TinyBases
) -> None:
    model = made(tiny_bases, "head", family)
    net, encoded, depth = model.net.auto, small.encoded(model, ROWS), len(model.family.block_list(model.net.auto))
    names = {cut: trunk_cache.key(net, model.family, encoded, cut, "fp32", mean=False) for cut in (depth - 1, depth)}
    with torch.no_grad():
        net.get_submodule(f"{model.family.trunk}.{norm}").weight.add_(1e-3)
    for cut, name in names.items():
        same = trunk_cache.key(net, model.family, encoded, cut, "fp32", mean=False) == name
        assert same == (cut < depth), "what is kept below the last block does not know the norm behind it"


@pytest.mark.parametrize("damage", ("cut short", "a changed byte", "about.json gone", "left by a kill"))
def test_a_partial_or_damaged_cache_is_built_anew(damage: str, tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, {"name": "layers", "top": 1})
    encoded = small.encoded(model, ROWS)
    good = np.array(cached(model, encoded).states_TH)
    (folder,) = trunk_cache.kept_caches()
    states = folder / "states.bin"
    if damage == "cut short":
        states.write_bytes(states.read_bytes()[:-8])
    elif damage == "a changed byte":
        states.write_bytes(b"\1" + states.read_bytes()[1:])
    elif damage == "about.json gone":
        (folder / "about.json").unlink()
    else:
        folder.rename(folder.with_name(f".{folder.name}.x.tmp"))
    again = made(tiny_bases, {"name": "layers", "top": 1})
    found = cached(again, other := small.encoded(again, ROWS))
    assert not found.found
    assert np.array_equal(good, np.asarray(found.states_TH))
    assert len(other) == len(encoded)


def test_half_the_size_by_choice_and_close(tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, {"name": "layers", "top": 1}, cache_dtype="bf16")
    encoded = small.encoded(model, ROWS)
    cache = cached(model, encoded)
    width = model.shortcuts.way.fast.trunk.config.hidden_size
    assert cache.states_TH.nbytes == trunk_cache.forecast(encoded, width, "bf16", pooled=False)
    assert cache.states_TH.nbytes * 2 == trunk_cache.forecast(encoded, width, "fp32", pooled=False)
    exact = made(tiny_bases, {"name": "layers", "top": 1})
    states = cached(exact, other := small.encoded(exact, ROWS)).states(range(len(other)))
    assert torch.allclose(cache.states(range(len(encoded))), states, rtol=1e-2, atol=1e-2)


def test_room_is_made_for_the_newest_and_never_beyond_the_budget(tiny_bases: TinyBases) -> None:
    for rows in (ROWS[:4], ROWS[:5], ROWS[:6]):
        model = made(tiny_bases, {"name": "layers", "top": 1})
        cached(model, small.encoded(model, rows))
    sizes = [trunk_cache.size(f) for f in trunk_cache.kept_caches()]
    assert len(sizes) == 3
    assert trunk_cache.make_room(sizes[0] - 10, sum(sizes), ())
    assert len(trunk_cache.kept_caches()) == 2, "the least recently used one made way"
    assert not trunk_cache.make_room(10**6, 10**5, ())
    assert len(trunk_cache.kept_caches()) == 2, "nothing is deleted for what never could fit"
    assert not trunk_cache.make_room(sizes[0], sum(sizes[1:]), [f.name for f in trunk_cache.kept_caches()])
    assert len(trunk_cache.kept_caches()) == 2, "what the run itself uses is spared"
    assert trunk_cache.clean() == sum(sizes[1:])
    assert trunk_cache.kept_caches() == []


def test_no_room_at_all_is_said(tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, {"name": "layers", "top": 1}, cache="disk", cache_gb=1e-9)
    encoded = small.encoded(model, ROWS)
    model.shortcuts.prove(encoded, learning=True)
    model.shortcuts.cache({"train": encoded}, QUIET)
    assert "engine.cache_gb" in model.shortcuts.refused[0]


@pytest.mark.parametrize(("method", "told"), (({"name": "layers", "top": 1}, True), ("full", False)), ids=str)
def test_a_dropout_of_the_plan_is_said_to_act_above_the_cut_alone(
    method: Any, told: bool, tiny_bases: TinyBases
) -> None:
    model = made(tiny_bases, method, dropout=0.3)
    encoded = small.encoded(model, ROWS)
    model.shortcuts.prove(encoded, learning=True)
    model.shortcuts.cache({"train": encoded}, QUIET)
    lines = model.shortcuts.explain(encoded, Batches(encoded.ids, 4, None, 0), 3)
    said = "engine: dropout: 0.3 in what learns; the lowest 3 blocks rest and draw none"
    assert (said in lines) == told


def test_a_disk_that_fills_up_meanwhile_is_told_before_anything_is_computed(
    tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(TunesmithError, match=r"no room for .* MB in .*No space left on device.*engine\.cache: memory"):
        cached(made_model := made(tiny_bases, {"name": "layers", "top": 1}), small.encoded(made_model, ROWS))
    assert not list(trunk_cache.root().iterdir())


def test_room_on_disk_is_told_before_it_is_filled(
    tiny_bases: TinyBases, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setattr(trunk_cache, "build", lambda *_, **__: told.append(capsys.readouterr().err) or built)
    built = trunk_cache.Cache(None, 3, False, np.zeros(1), np.zeros((0, 1)))  # type: ignore[arg-type]
    model = made(tiny_bases, {"name": "layers", "top": 1})
    encoded = small.encoded(model, ROWS)
    model.shortcuts.prove(encoded, learning=True)
    model.shortcuts.cache({"train": encoded}, Progress())
    assert "running 3 of 4 blocks once over all rows, for 0.0 MB on disk, fp32" in told[0]


@pytest.mark.parametrize("method", ("full", "lora", "gradual", {"name": "prompt", "tokens": 2}), ids=str)
def test_what_moves_below_is_never_cached(method: Any, tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, method)
    encoded = small.encoded(model, ROWS)
    model.shortcuts.prove(encoded, learning=True)
    model.shortcuts.cache({"train": encoded}, QUIET)
    assert not model.shortcuts.way.caches


def test_a_build_that_is_killed_leaves_nothing_that_is_used(tiny_bases: TinyBases) -> None:
    """A child process dies while it fills the file; its parent then finds no cache, and builds a whole one."""
    model = made(tiny_bases, {"name": "layers", "top": 1})
    encoded = small.encoded(model, ROWS)
    model.shortcuts.prove(encoded, learning=True)
    way = model.shortcuts.way
    folder = trunk_cache.root() / ("a" * 64)
    child = os.fork()
    if not child:
        die = functools.partial(os.kill, os.getpid(), signal.SIGKILL)
        trunk_cache.build(way.fast, encoded, 3, "fp32", folder=folder, tick=lambda _: die())
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert list(folder.parent.glob(".*/states.bin")), "the kill came while it was being filled"
    assert not trunk_cache.kept_caches()
    assert not trunk_cache.build(way.fast, encoded, 3, "fp32", folder=folder, tick=lambda _: None).found
    assert trunk_cache.build(way.fast, encoded, 3, "fp32", folder=folder, tick=lambda _: None).found


def test_a_cache_that_nearly_fills_the_budget_is_found_again(tiny_bases: TinyBases) -> None:
    first = made(tiny_bases, {"name": "layers", "top": 1})
    cached(first, small.encoded(first, ROWS))
    budget = 1.2 * trunk_cache.size(trunk_cache.kept_caches()[0]) / 2**30
    again = made(tiny_bases, {"name": "layers", "top": 1}, cache_gb=budget)
    assert cached(again, small.encoded(again, ROWS)).found, "it needs no second room for what is there"


def test_what_a_killed_build_left_goes_after_a_day(tiny_bases: TinyBases) -> None:
    old, young = (trunk_cache.root() / f".{name}.tmp" for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (1.0, 1.0))
    assert trunk_cache.make_room(10, 1000, ())
    assert not old.exists()
    assert young.exists()

"""Every method on every family that hears: what moves, what is saved, what opens it, what merges, what is kept of it.

Methods are listed from their folder; a refusal that is not in the table below fails. By default every method meets
some bases and every base some methods, LoRA and adapters all of them; all pairs run under the mark `slow`.
"""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import sounds
from kit import settings
from tunesmith.bases.find import find
from tunesmith.data.ledger import Ledger
from tunesmith.data.table import read
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

BASES = (*sounds.FAMILIES, "wav2vec2:layer")
REFUSED = set(itertools.product(("prompt", "ptuning", "prefix", "expand"), BASES))
"""For a reason of the architecture; may only shrink."""
SETTINGS: dict[str, Any] = {"adapter": {"reduction_factor": 4}}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("hearing")
    made = {}
    for name in BASES:
        family, _, norm = name.partition(":")
        made[name] = sounds.make(family, top / name.replace(":", "-"), norm or "group")
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sounds.tones(tmp_path_factory.mktemp("tones") / "data", each=3, lengths=(0.05, 0.06))


def case(method: Any, base: Path, folder: Path, penalties: Any = (), **train: Any) -> tuple[Model, list[Any]]:
    """A fresh model of a method, and the rows of the folder."""
    if isinstance(method, str):
        method = {"name": method, **SETTINGS.get(method, {}), **settings(method, base)}
    plan = make_plan(
        {
            "task": "audio", "base": str(base), "data": str(folder), "method": method, "penalties": list(penalties),
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
    """Every pair of method and base, or some of them."""
    every = [(i + j, m, b) for (i, m), (j, b) in itertools.product(enumerate(METHODS.names()), enumerate(BASES))]
    return [(m, b) for n, m, b in every if not some or m in ("lora", "adapter") or n % 3 == 0]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "base"), pairs(some=False))
def test_matrix(method: str, base: str, bases: dict[str, Path], folder: Path, tmp_path: Path) -> None:
    check_contract(method, base, bases, folder, tmp_path)


@pytest.mark.parametrize(("method", "base"), pairs(some=True))
def test_contract(method: str, base: str, bases: dict[str, Path], folder: Path, tmp_path: Path) -> None:
    check_contract(method, base, bases, folder, tmp_path)


def check_contract(method: str, base: str, bases: dict[str, Path], folder: Path, tmp_path: Path) -> None:
    try:
        model, records = case(method, bases[base], folder)
    except TunesmithError as error:
        assert (method, base) in REFUSED, f"{method} must work on {base}, but: {error}"
        assert base.partition(":")[0] in str(error) and "Use " in str(error)
        return
    assert (method, base) not in REFUSED, "it works: take it out of the table"
    roles = model.plan.task.roles()
    encoded = model.encode(records, roles)
    before = {n: t.detach().clone() for n, t in model.net.state_dict().items()}
    moving = set(weights(model))
    one_step(model, encoded)
    after = model.net.state_dict()
    still = [n for n in before if n not in moving and not torch.equal(before[n], after[n])]
    assert not still, f"frozen tensors moved: {still[:3]}"
    assert any(not torch.equal(before[n], after[n]) for n in moving), "nothing moved"
    logits = model.outputs(encoded)
    assert logits.std(axis=0).max() > 1e-4, "all clips are answered alike: nothing would be proven"
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert error_of(again.outputs(again.encode(records, roles)), logits) <= EXACT
    assert ecosystem(model.plan, model.family) == type(model.plan.method).ecosystem or method == "mixed"
    if ecosystem(model.plan, model.family) == "plain":
        waves = encoded.waves
        tensors = {waves.name: waves.padded(range(len(encoded))), "lengths": torch.from_numpy(waves.lengths)}
        tensors["logits"] = torch.from_numpy(logits)
        with torch.inference_mode():
            plain = plain_logits(plain_network(tmp_path / "model", model), model, tensors)
        assert error_of(plain, logits) <= EXACT, "other tools get other logits"
    if model.plan.method.can_fold():
        folded = replace(again, net=type(again.net)(again.plan.method.fold(again.net.auto), 0, logits.shape[1]))
        assert error_of(folded.outputs(encoded), logits) <= EXACT, "merged differs from unmerged"


@pytest.mark.parametrize("base", BASES)
def test_no_answer_depends_on_the_clips_beside_it(base: str, bases: dict[str, Path], folder: Path) -> None:
    """Clips of two lengths: a base that is not told what is padding would answer otherwise if they were padded."""
    model, records = case("full", bases[base], folder)
    roles = model.plan.task.roles()
    together = model.outputs(model.encode(records, roles))
    for row, record in enumerate(records):
        alone = model.outputs(model.encode([record], roles))
        assert error_of(alone[0], together[row]) <= EXACT
    encoded = model.encode(records, roles)
    assert encoded.waves is not None
    if base in ("wav2vec2", "hubert"):  # what would have happened
        two = [int(encoded.waves.lengths.argmin()), int(encoded.waves.lengths.argmax())]
        with torch.inference_mode():
            padded = model.net.auto(encoded.waves.padded(two)).logits.numpy()
        assert error_of(padded[0], together[two[0]]) > 10 * EXACT
        with pytest.raises(AssertionError, match="padding would change"):
            encoded.waves.inputs(two)
    if base == "wav2vec2:layer":
        assert len(list(model.shortcuts.way.pieces(encoded, range(len(encoded)), 10_000))) == 1


@pytest.mark.parametrize("base", BASES)
def test_frozen_blocks_run_once_a_clip_and_nothing_else_changes(
    base: str, bases: dict[str, Path], folder: Path
) -> None:
    outputs = []
    for cache in ("memory", "off"):
        model, records = case("head", bases[base], folder, epochs=3, dropout=0.0)
        model.plan = model.plan.model_copy(update={"engine": model.plan.engine.model_copy(update={"cache": cache})})
        encoded = model.encode(records, model.plan.task.roles())
        one_step(model, encoded)
        assert any("never move" in line for line in model.shortcuts.said) == (cache == "memory"), model.shortcuts.said
        outputs.append(model.outputs(encoded))
    assert error_of(outputs[0], outputs[1]) <= EXACT


def test_a_wrong_cache_is_found_out(bases: dict[str, Path], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunesmith.engine.skipping import Skipping

    model, records = case("head", bases["wav2vec2"], folder)
    right = Skipping.lower
    monkeypatch.setattr(Skipping, "lower", lambda *a: (right(*a)[0], right(*a)[1] + 0.1))
    encoded = model.encode(records, model.plan.task.roles())
    model.shortcuts.asked = model.plan.engine.model_copy(update={"cache": "memory"})
    model.shortcuts.cache({"train": encoded}, Progress(silent=True))
    assert any("differed from the library" in line for line in model.shortcuts.refused)
    assert model.shortcuts.way is model.shortcuts.plain


def test_where_a_block_moves_nothing_is_kept_and_the_run_says_so(bases: dict[str, Path], folder: Path) -> None:
    model, records = case({"name": "layers", "top": 1}, bases["wav2vec2"], folder)
    one_step(model, model.encode(records, model.plan.task.roles()))
    assert any("without trunk cache: of sounds" in line for line in model.shortcuts.said)


def test_time_is_never_masked_and_no_layer_dropped(bases: dict[str, Path], folder: Path) -> None:
    """Both would be drawn from a generator that a resumed run cannot set back (numpy's), or stop short clips."""
    model, _ = case("full", bases["wav2vec2"], folder)
    config: Any = model.net.auto.config
    assert not config.apply_spec_augment and not config.layerdrop

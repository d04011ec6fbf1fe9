"""What a shortcut is forecast to save is what counting the operations finds."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import tongues
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import small
from kit import TinyBases
from tunesmith.bases.family import family_of
from tunesmith.engine import trunk_cache
from tunesmith.engine.batches import Batches, collate
from tunesmith.engine.language_shortcuts import LanguageShortcuts
from tunesmith.engine.network import override_dropout, training_mode
from tunesmith.engine.savings import Saving, Work, operations, savings, sizes_of
from tunesmith.engine.shortcuts import HeadShortcuts
from tunesmith.plan_text import make_plan
from tunesmith.progress import Progress

CLOSE = 0.02
"""Of the operations of the padded way: what the lowest block's unneeded gradients and heads amount to."""
TEXTS = [" ".join(["pump"] * n) for n in (3, 4, 28, 5, 9, 3, 14, 6)]


def counted(step: Callable[[], torch.Tensor]) -> int:
    """Operations of matrix products, forward and backward. The kernel that torch has for attention on a CPU is not
    counted by its counter, so attention is computed in its parts."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss = step()
        if loss.requires_grad:
            loss.backward()
    return counter.get_total_flops()


def shares(lines: list[str]) -> list[float]:
    """The share of operations that each line tells."""
    found = [line.split("saves ")[1].split("%")[0] if "% of the operations" in line else "0" for line in lines]
    return [int(each.split()[-1]) / 100 for each in found]


@pytest.mark.parametrize("method", ("full", "lora", {"name": "lora", "top": 2}), ids=str)
@pytest.mark.parametrize("family", ("bert", "llama", pytest.param("gpt2", marks=pytest.mark.slow)))
def test_a_classifier_saves_what_is_forecast(family: str, method: Any, tiny_bases: TinyBases) -> None:
    rows = small.records(TEXTS, ["a", "b", "c", "a"] * 2)
    plan = small.plan(tiny_bases[family], method=method, batch=8)
    plan = plan.model_copy(update={"engine": plan.engine.model_copy(update={"cache": "memory"})})
    model = small.model(plan, rows)
    override_dropout(model.net, 0.0)
    encoded, every = small.encoded(model, rows), list(range(8))
    shortcuts = model.shortcuts
    assert isinstance(shortcuts, HeadShortcuts)
    shortcuts.prove(encoded, learning=True)
    batches, cut = Batches(encoded.ids, 8, None, 0), plan.method.still(model.net.auto, model.family)
    training_mode(model.net, plan.method, model.family)
    model.net.zero_grad()
    step = lambda way: way.logits(encoded, every).square().sum()  # noqa: E731
    found = [counted(lambda: model.net(collate(encoded, every, 0)).square().sum())]
    for reads in (False, True):
        found.append(counted(partial(step, shortcuts._packed(reads))))
    shortcuts.cache({"train": encoded}, Progress(silent=True))
    told = shortcuts.told(encoded, batches, 4)
    if cut:
        built = counted(lambda: _below(shortcuts.way, encoded, cut))
        found.append(counted(partial(step, shortcuts.way)) + built // 4)
    expected = [(before - after) / found[0] for before, after in pairwise(found)]
    assert shares(told[:-1]) == pytest.approx(expected, abs=CLOSE + 0.005)
    assert float(told[-1].split()[1]) == pytest.approx(found[0] / found[-1], rel=0.1)


def _below(way: Any, encoded: Any, cut: int) -> torch.Tensor:
    with torch.no_grad():
        trunk_cache.build(way.fast, encoded, cut, "fp32", folder=None, tick=lambda rows: None)
    return torch.zeros(())


@pytest.mark.parametrize("method", ("full", "lora"))
@pytest.mark.parametrize("family", ("qwen2", pytest.param("phi", marks=pytest.mark.slow)))
def test_a_language_model_saves_what_is_forecast(family: str, method: str) -> None:
    net, encoded = tongues.network(family, method), tongues.mixed(shared=True)
    plan = make_plan({"task": "generate", "base": "x", "data": "x.csv", "method": method, "train": {"batch": 8}})
    shortcuts = LanguageShortcuts(net, family_of(family, "language"), plan, 0, equal=False)
    shortcuts.prove(encoded, learning=True)
    assert not shortcuts.refused
    told = shortcuts.told(encoded, Batches(encoded.ids, 8, None, 0), 1)
    step = lambda way: way.losses(encoded, list(range(8))).losses_S.sum()  # noqa: E731
    found = [counted(partial(step, tongues.plain(net)))]
    for changes in ({"reads": False, "head": False, "prefix": False, "budget": 0}, {"reads": False, "prefix": False},
                    {"prefix": False}, {}):  # fmt: skip
        way = tongues.packed(net, tongues.Levers(**changes))
        found.append(counted(partial(step, way)))
    expected = [(before - after) / found[0] for before, after in pairwise(found)]
    assert [line.split(":")[0] for line in told] == [
        "packed rows", "loss and language head", "last block", "shared beginnings", "forecast",
    ]  # fmt: skip
    assert shares(told[:-1]) == pytest.approx(expected, abs=CLOSE + 0.005)
    assert sum(expected) > 0.5, "the rows are such that there is something to save"


def test_each_switch_of_a_language_model_takes_its_shortcut_away_and_says_so() -> None:
    told = {}
    for switch in ("none", "pack", "reads", "head", "prefix"):
        net, encoded = tongues.network("llama", "lora"), tongues.mixed(shared=True)
        engine = {} if switch == "none" else {switch: False}
        plan = make_plan({"task": "generate", "base": "x", "data": "x.csv", "method": "lora", "engine": engine})
        shortcuts = LanguageShortcuts(net, family_of("llama", "language"), plan, 0, equal=False)
        shortcuts.prove(encoded, learning=True)
        lines = shortcuts.explain(encoded, Batches(encoded.ids, 8, None, 0), 1)
        told[switch] = [line.removeprefix("engine: ").split(":")[0] for line in lines]
    every = ["packed rows", "loss and language head", "last block", "shared beginnings", "forecast"]
    assert told["none"] == every
    assert told["reads"] == [line for line in every if line != "last block"]
    assert told["prefix"] == [line for line in every if line != "shared beginnings"]
    assert told["head"] == [
        "packed rows", "shared beginnings", "forecast", "without loss and language head at learnt positions",
    ]  # fmt: skip
    assert told["pack"] == ["without packed rows"]


def test_operations_by_hand(tiny_bases: TinyBases) -> None:
    model = small.model(small.plan(tiny_bases["bert"], method="head"), small.records())
    sizes = sizes_of(model.net.auto, model.family, 4)
    block = 4 * 32 * 32 + 2 * 32 * 48
    assert [b.whole for b in sizes.blocks] == [block] * 4
    assert sizes.blocks[0].keys == 2 * 32 * 32
    assert sizes.head == sizes.head_learning == 32 * 32 + 3 * 32
    forward = 4 * (2 * block * 10 + 4 * 32 * 100)
    assert operations(sizes, Work(10, 100, 1)) == forward + 4 * sizes.head
    assert operations(sizes, Work(10, 100, 1, still=0.5)) == forward / 2 + 4 * sizes.head


def test_a_saving_is_told_in_operations_and_memory() -> None:
    assert Saving("packed rows", 0.612, 34_000_000).told() == (
        "packed rows; saves 61% of the operations and 34.0 MB of memory"
    )
    assert Saving("last block", 0.001, 12).told() == "last block; saves next to nothing here"
    assert savings(sizes := sizes_of_nothing(), [("a", Work(1, 0, 0), 5)], Work(4, 0, 0)) == [Saving("a", 0.75, 5)]
    assert operations(sizes, Work(0, 0, 0)) == 0


def sizes_of_nothing() -> Any:
    from tunesmith.engine.savings import Block, Sizes

    return Sizes((Block(10, 10, 0, 0),), 0, 4, 0, 0)

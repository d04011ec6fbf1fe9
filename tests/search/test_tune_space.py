"""Ranges in a plan: branches, ties, corners, words, what is refused, and what is searched where none is named."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit import TinyBases, settings
from tunesmith.bases.find import find
from tunesmith.errors import TunesmithError
from tunesmith.methods import METHODS
from tunesmith.plan_text import make_plan
from tunesmith.search.tuning.asked import seconds_of
from tunesmith.search.tuning.corners import check_corners
from tunesmith.search.tuning.guided import usual
from tunesmith.search.tuning.reading import asked_of, space_of, tree_of
from tunesmith.search.tuning.space import CORNERS, Space

PLAN = {"task": "classify", "base": "minilm", "data": "x.csv"}
BRANCHES = yaml.safe_load(
    "{choice: [head, {name: layers, top: {integer: [1, 4]}}, {name: lora, r: {choice: [4, 16]}, "
    "alpha: {times: [2, method.r]}, targets: {choice: [qv, [query, value]]}}]}"
)


def space(**more: Any) -> Space:
    return Space(PLAN | more)


def test_a_range_lives_where_its_branch_is_chosen() -> None:
    found = space(method=BRANCHES, train={"lr": {"log": ["1e-5", 1e-3]}})
    assert list(found.ranges()) == ["method", "train.lr", "method.layers.top", "method.lora.r", "method.lora.targets"]
    corners, every = found.corners()
    assert every and len(corners) == 2 * (1 + 2 + 2 * 2)
    assert {tuple(c) for c in corners} == {
        ("method", "train.lr"),
        ("method", "method.layers.top", "train.lr"),
        ("method", "method.lora.r", "method.lora.targets", "train.lr"),
    }
    plans = [make_plan(found.filled(each)) for each in corners]
    assert {getattr(plan.method, "alpha", None) for plan in plans} == {None, 8, 32}, "tied to the rank that is chosen"
    assert {plan.train.lr for plan in plans} == {1e-5, 1e-3}
    assert {getattr(plan.method, "targets", None) for plan in plans} == {None, "qv", ("query", "value")}
    assert make_plan(found.plain()).method.name == "head", "the first of several methods stands for none searched"


def test_a_tie_follows_ties_and_says_what_is_missing() -> None:
    lora = {"name": "lora", "r": {"integer": [2, 4]}, "alpha": {"times": [2, "method.r"]}}
    tied = space(method=lora | {"plus": {"times": [0.5, "method.alpha"]}})
    values = {"method.r": 3}
    assert make_plan(tied.filled(values)).method.model_dump(include={"alpha", "plus"}) == {"alpha": 6, "plus": 3.0}
    with pytest.raises(TunesmithError, match="method.alpha: .*follows a number, and at train.batch the plan has None"):
        space(method=lora | {"alpha": {"times": [2, "train.batch"]}}).filled(values)
    with pytest.raises(TunesmithError, match="tied to what is tied to it"):
        space(method=lora | {"alpha": {"times": [2, "method.alpha"]}}).filled(values)


@pytest.mark.parametrize(("range_", "said"), [
    ({"log": [0, 1]}, "train.lr: log begins above 0"),
    ({"log": [1e-3, 1e-5]}, "train.lr: log goes from low to high"),
    ({"uniform": [1, 2, 3]}, "train.lr: uniform has two numbers"),
    ({"integer": [0.5, 2]}, "train.lr: integer lies between whole numbers"),
    ({"choice": [1]}, "at least two different options"),
    ({"choice": [{"name": "lora"}, "lora"]}, "at least two different options"),
    ({"times": ["a", 2]}, "a tie is {times: .factor, path.}"),
    ({"loguniform": [1e-5, 1e-3]}, "train.lr: no range named 'loguniform'. Did you mean 'uniform'"),
])  # fmt: skip
def test_what_is_no_range_is_told_with_its_path(range_: Any, said: str) -> None:
    with pytest.raises(TunesmithError, match=said):
        space(train={"lr": range_}, method={"name": "lora", "r": {"choice": [1, 2]}}).corners()


def test_every_corner_is_checked_first() -> None:
    with pytest.raises(TunesmithError, match="train.warmup: 1.5 of .uniform: .0.1, 1.5.. is refused: .*not a share"):
        check_corners(space(train={"warmup": {"uniform": [0.1, 1.5]}}), make_plan)
    two = {"name": "lora", "dropout": {"uniform": [0, 1]}, "r": {"integer": [0, 4]}}
    with pytest.raises(TunesmithError, match=r"refuses:\n  - method.dropout: 1.0 .*\n  - method.r: 0 .*greater than 0"):
        check_corners(space(method=two), make_plan)
    # vera has no alpha: that combination is no plan, each of its values is part of one
    odd = {"name": "lora", "variant": {"choice": ["lora", "vera"]}, "alpha": {"choice": [16, 32]}}
    found = check_corners(space(method=odd), make_plan)
    assert (found.checked, found.every, found.refused) == (4, True, 1) and "vera has no alpha" in str(found.reason)
    with pytest.raises(TunesmithError, match="no method named 'lorra'"):
        check_corners(space(method="lorra", train={"lr": {"log": [1e-5, 1e-3]}}), make_plan)


def test_of_a_large_space_every_end_is_drawn() -> None:
    train = {name: {"uniform": [0.1, 0.9]} for name in ("lr", "momentum", "factor", "floor", "dropout", "ema", "swa")}
    large = space(method=BRANCHES, train=train)
    corners, every = large.corners()
    assert not every and len(corners) < 4 * CORNERS
    seen = {(name, repr(value)) for corner in corners for name, value in corner.items()}
    assert seen == {(name, repr(end)) for name, each in large.ranges().items() for end in each.ends}


def test_a_plan_that_is_trained_has_no_ranges() -> None:
    with pytest.raises(TunesmithError, match="2 mistakes:\n.*train.lr: a range is for `tunesmith tune`.*\n.*search: "):
        make_plan(PLAN | {"train": {"lr": {"log": [1, 2]}}, "search": {"trials": 3}})
    assert make_plan(PLAN | {"train": {"log": "none"}}).train.log == "none", "a setting of that name is no range"


def test_words_and_both_spellings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(PLAN | {"method": "lora", "search": {"sampler": "random"}}))
    words = ["engine=ray", "address=auto", "search.space={method.r: {choice: [2, 4]}}", "train.lr={log: [1e-5, 1e-3]}"]
    tree = tree_of(tmp_path / "plan.yaml", [*words, "engine.pack=false"])
    asked = asked_of(tree)
    assert (asked.engine, asked.address, asked.sampler) == ("ray", "auto", "random")
    found, notes = space_of(tree, asked, lambda plan: {})
    assert list(found.ranges()) == ["method.r", "train.lr"] and not notes
    plan = make_plan(found.filled({"method.r": 2, "train.lr": 1e-4}))
    assert plan.engine.pack is False and Path(plan.data.train[0].file).is_absolute()
    for search, said in [
        ({"sampler": "tp"}, "search.sampler: input should be 'tpe', 'random' or 'pbt', got 'tp'"),
        ({"trial": 3}, "search: no setting named 'trial'. Did you mean 'trials'"),
        ({"budget": "soon"}, "'soon' is no time"),
        ({"gpus": 1}, "search.gpus has no effect without search.engine: ray"),
        ({"sampler": "pbt", "pruner": "none"}, "search.pruner has no effect with search.sampler: pbt"),
    ]:
        with pytest.raises(TunesmithError, match=said):
            asked_of({"search": search}).seconds  # noqa: B018
    assert [seconds_of(text) for text in ("90s", "1.5m", "2 h")] == [90, 90, 7200]
    with pytest.raises(TunesmithError, match="has a range there, too"):
        space_of(tree, asked, lambda plan: {})


@pytest.mark.parametrize("method", [m for m in METHODS.names() if m != "expand"])
def test_each_method_says_what_is_usually_searched(tiny_bases: TinyBases, method: str) -> None:
    base = tiny_bases["bert"]
    own = {"name": method, **settings(method, base)}
    tree = PLAN | {"base": str(base), "method": own, "data": {"train": "x.csv", "test": None}}
    plan, found = make_plan(dict(tree)), find(str(base))
    made, notes = space_of(dict(tree), asked_of({}), lambda plan: usual(plan, found))
    names = list(made.ranges())
    assert "train.lr" in names and "no range in the plan" in notes[0] and "keeps no test rows" in notes[1]
    assert check_corners(made, make_plan).refused == 0
    rate = made.ranges()["train.lr"]
    assert math.isclose(rate.high / rate.low, 25, rel_tol=0.1) and rate.low < plan.method.auto_rate() * 4
    fixed = Space(made.tree)
    assert make_plan(fixed.plain()).data.test == 0.2
    taken = {name.removeprefix("method.") for name in names if name.startswith("method.")}
    assert taken <= set(type(plan.method).model_fields)

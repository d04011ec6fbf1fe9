"""Which methods and settings run, and what they are called."""

from typing import Any

import pytest

from tunesmith.errors import TunesmithError
from tunesmith.methods import METHODS
from tunesmith.plan import Plan
from tunesmith.plan_rules import objections
from tunesmith.plan_text import make_plan
from tunesmith.search.racing import field_of, looked_often, metric_of
from tunesmith.search.racing.arms import settings_of


def plan(**more: Any) -> Plan:
    return make_plan({"task": "classify", "base": "minilm", "data": "unused.csv"} | more)


def as_it_is(made: Plan) -> Plan:
    return made


def test_all_that_need_nothing_beyond_the_plan_run_the_plans_own_first() -> None:
    asked = plan(
        method={"name": "adapter", "top": 2}, train={"lr": 0.123, "seed": 4}, evaluate={"baselines": ["tfidf"]}
    )
    found = field_of(asked, None, as_it_is, grid=True)
    firsts = [arm for arm in found.arms if arm.name == arm.family]
    assert [arm.name for arm in firsts] == [
        "adapter",
        *(n for n in METHODS.names() if n not in ("adapter", "fusion", "mixed")),
    ]
    own, *others = firsts
    assert own.plan.method == asked.method and own.plan.train.lr == 0.123
    assert all(arm.plan.train.lr == "auto" and settings_of(arm.plan.method) == {} for arm in others)
    assert list(found.arms[: len(firsts)]) == firsts, "every method before any second settings"
    assert all(not objections(arm.plan) for arm in found.arms)
    names = [arm.name for arm in found.arms]
    assert len(set(names)) == len(names) and len({arm.folder for arm in found.arms}) == len(names)
    assert {"adapter reduction_factor=4", "lora r=32 alpha=64", "full rate x3", "head pooler=False"} < set(names)
    wide = next(arm for arm in found.arms if arm.name == "adapter reduction_factor=4")
    assert settings_of(wide.plan.method) == {"top": 2, "reduction_factor": 4}, "the plan's other settings stay"
    faster = next(arm for arm in found.arms if arm.name == "full rate x3")
    assert faster.with_seed(6, 2e-4).train.lr == 6e-4 and faster.with_seed(6, 2e-4).train.seed == 6


def test_named_ones_alone_and_mixes() -> None:
    asked = [{"name": "lora", "r": 4}, "lora", "head", "lora+bitfit"]
    found = field_of(plan(), asked, as_it_is, grid=False)
    assert [arm.name for arm in found.arms] == ["lora r=4", "lora", "head", "lora+bitfit"]
    assert found.arms[3].plan.method.name == "mixed" and found.refused == {}


@pytest.mark.parametrize(
    ("methods", "says"),
    [
        (["lorra"], "Did you mean 'lora'"),
        (["head", "head"], "head stands there twice"),
        (["fusion"], "--methods: fusion: of: Field required"),
        ([{"name": "lora", "r": 0}], "r: Input should be greater than 0"),
        (["lora+full"], "lora.full cannot run here: method: mixed: full already moves every weight"),
    ],
)
def test_what_is_wrong_with_the_words(methods: list[Any], says: str) -> None:
    says = says.replace("lora.full", "lora[+]full")
    with pytest.raises(TunesmithError, match=says):
        field_of(plan(), methods, as_it_is, grid=True)


def test_what_does_not_work_with_the_base_is_told_or_refused() -> None:
    def fit(made: Plan) -> Plan:
        if made.method.name == "prefix":
            raise TunesmithError("method: prefix needs past keys and values")
        return made

    found = field_of(plan(), None, fit, grid=False)
    assert found.refused == {"prefix": "method: prefix needs past keys and values"}
    with pytest.raises(TunesmithError, match="prefix cannot run here: method: prefix needs"):
        field_of(plan(), ["head", "prefix"], fit, grid=False)


def test_short_plans_are_looked_at_nine_times() -> None:
    short = looked_often(plan(train={"epochs": 3}), 1000).train
    assert (short.evaluate_every, short.patience) == ("0.3333 epochs", 9)
    long = plan(train={"epochs": 9})
    assert looked_often(long, 1000) == long
    asked = plan(train={"epochs": 3, "evaluate_every": "5 steps"})
    assert looked_often(asked, 1000) == asked


def test_the_loss_decides_no_race() -> None:
    with pytest.raises(TunesmithError, match="train.best: loss is no metric .* train.best=macro_f1"):
        metric_of(plan(train={"best": "loss"}))

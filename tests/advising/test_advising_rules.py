"""The table of rules: it reads, conditions and paths exist, sources can be looked up, and what applies applies."""

import re
from pathlib import Path
from typing import Any

import pytest

from tunesmith.advising.case import Case
from tunesmith.advising.conditions import holds, told
from tunesmith.advising.ranking import put, started
from tunesmith.advising.rules import FILE, Rule, read, rules, that_apply
from tunesmith.errors import TunesmithError
from tunesmith.methods import METHODS
from tunesmith.plan_text import make_plan

ROOT = Path(__file__).parent.parent.parent
KNOWN: dict[str, Any] = {"task": "classify", "kind": "classes", "writes": False, "sense": "text", "rows": 500,
                         "base_millions": 22.7, "memory_mb": 8000}  # fmt: skip


def case(**more: Any) -> Case:
    return Case(**KNOWN | more)


def test_sources_can_be_looked_up() -> None:
    for rule in rules():
        pages = re.findall(r"docs/[\w./-]+\.md", rule.source)
        assert all((ROOT / page).is_file() for page in pages), rule.rule
        links = re.findall(r"https://arxiv\.org/abs/\d{4}\.\d{5}\b", rule.source)
        if rule.basis == "paper":
            assert links, f"{rule.rule}: a paper has an address"
        if rule.basis == "measured":
            assert pages, f"{rule.rule}: a measurement has a page"
    assert len({rule.rule for rule in rules()}) == len(rules())


@pytest.mark.parametrize("rule", [rule for rule in rules() if rule.set], ids=lambda rule: rule.rule)
def test_settings_are_settings_of_a_plan(rule: Rule) -> None:
    asked = rule.when.get("method", "lora")
    for name in asked if isinstance(asked, list) else [str(asked)]:
        for path, value in rule.set.items():
            plan = make_plan({"task": "classify", "base": "minilm", "data": "unused.csv"})
            filled = rule.filled(value, case(tokens_needed=64, upper_blocks=2))
            changed = put(started(plan, name), path, filled, adds=False)
            assert changed is not None
            make_plan(changed)


@pytest.mark.parametrize(("when", "holding", "failing"), [
    ({"rows": "< 1000"}, {"rows": 999}, {"rows": 1000}), ({"rows": ">= 1000"}, {"rows": 1000}, {"rows": 999}),
    ({"rows": "1000 to 10000"}, {"rows": 10000}, {"rows": 10001}), ({"kind": ["tags", "text"]}, {"kind": "tags"}, {}),
    ({"fixed_base": True}, {"fixed_base": True}, {}), ({"label_noise": ">= 0.03"}, {"label_noise": 0.03}, {}),
    ({"rows": "< 1000", "kind": "classes"}, {}, {"kind": "numbers"}),
])  # fmt: skip
def test_conditions(when: dict[str, Any], holding: dict[str, Any], failing: dict[str, Any]) -> None:
    assert holds(when, case(**holding)) and not holds(when, case(**failing))
    assert told(when) != "always" == told({})


@pytest.mark.parametrize(("text", "says"), [
    ("{when: {row: '< 5'}, say: x}", r"unknown fact 'row'|no fact named 'row'"),
    ("{when: {rows: few}, say: x}", "rows: cannot read 'few'. Write '< 1000' or '1000 to 10000'"),
    ("{say: x, points: {lora: 1}}", "exactly one of points, refuse, set, add and say"),
    ("{points: {lorra: 1}}", "no method named 'lorra'"), ("{says: x}", "rules.yaml: rule r: says: Extra inputs"),
])  # fmt: skip
def test_a_rule_that_cannot_be_read_is_named(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    head = "rule: r, because: a reason in words, source: 'https://arxiv.org/abs/0000.00000', "
    file.write_text(f"- {{{head}{text[1:]}\n", encoding="utf-8")
    with pytest.raises(TunesmithError, match=says):
        read(file)
    assert read(FILE) == rules()


def test_a_fixed_base_keeps_its_weights() -> None:
    """The list in the rules is that of the methods themselves: what moves or saves the base's own weights."""
    (rule,) = that_apply(case(fixed_base=True), "refuse")
    made = {name: METHODS.make(name) for name in METHODS.names() if name not in ("mixed", "fusion", "head")}
    assert set(rule.refuse) == {name for name, method in made.items() if method.moves_base()}


def test_the_first_rule_decides() -> None:
    ranks = [
        r.set["method.r"]
        for r in that_apply(case(method="lora", rows=20_000, writes=True), "set")
        if "method.r" in r.set
    ]
    assert ranks == [32, 16, 8]

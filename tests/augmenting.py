"""Rows in two languages, a thesaurus, and what every augmentation step is tried with."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tunesmith.data import Record, Roles
from tunesmith.data.format import Table
from tunesmith.data.ledger import Ledger
from tunesmith.steps import STEPS
from tunesmith.steps._augmenting import Augmentation
from tunesmith.tasks import TASKS

TEXTS = (
    "The pump A-12 leaks oil and the pressure drops below 0.5 MPa",
    "motor 3 is not hot, check the bearing and the belt of fan P01 at 12:30",
    "Don't open valve B 7 without the key; see www.plant.example/a?x=1",
    "the player scored a goal and the team took the cup home",
    "水泵A-12漏油压力下降到0.3MPa,需要更换三个密封件",
    "电机温度过高,请检查轴承和皮带,没有异响",
    "银行提高利率,市场今天下跌2.5%",
    "soup",
    "",
    "12 345",
)
LABELS = ("leak", "heat", "leak", "sport", "leak", "heat", "bank", "food", "food", "bank")
KEPT = {
    0: ("A-12", "0.5 MPa"), 1: ("3", "P01", "12:30", "not"), 2: ("Don't", "B 7", "without", "www.plant.example/a?x=1"),
    4: ("A-12", "0.3MPa", "三"), 5: ("没有",), 6: ("2.5%",), 9: ("12 345",),
}  # fmt: skip
"""What must stand in whatever is made of a text."""
GROUPS = """leaks,drips
pump,pumping unit
hot,warm
check,inspect
key,opener
更换,替换
检查,查看,检视
提高,提升
goal,score
belt,strap
"""
ROLES = Roles(("text",), "label")


def thesaurus(folder: Path) -> Path:
    """A small list of synonyms, with a licence beside it."""
    (folder / "LICENSE.txt").write_text("Test list, licence: CC0\n", encoding="utf-8")
    path = folder / "groups.csv"
    path.write_text(GROUPS, encoding="utf-8")
    return path


def names() -> list[str]:
    """Every augmentation step in the folder."""
    return [name for name in STEPS.names() if issubclass(STEPS.find(name), Augmentation)]


def plan(*steps: Any, task: str = "classify", base: Any = None) -> Any:
    """As much of a plan as steps ask for."""
    return SimpleNamespace(task=TASKS.make(task), steps=steps, base=base)


def rows(texts: tuple[str, ...] = TEXTS, labels: tuple[str, ...] = LABELS) -> tuple[Ledger, list[Record]]:
    """Training rows in a ledger."""
    ledger = Ledger()
    lines: list[Any] = [(i + 2, {"text": t, "label": v}) for i, (t, v) in enumerate(zip(texts, labels, strict=True))]
    records = list(ledger.add(Table("t.csv", ("text", "label"), lines, (), "")))
    ledger.place(records, "train")
    return ledger, records


def made(
    step: Any, seed: int = 0, roles: Roles = ROLES, given: Any = None, base: Any = None
) -> tuple[Ledger, list[Record]]:
    """The ledger and the rows after a step."""
    ledger, records = given or rows()
    told = {"plan": plan(step, base=base)} if step.asks_plan else {}
    return ledger, list(step.run(records, roles, ledger, seed, **told))

"""Dedup: one row of each input and label stays, and the ledger says of which row the others are copies."""

from types import SimpleNamespace

import pytest

from tunesmith.data import Record, Roles
from tunesmith.data.format import Table
from tunesmith.data.ledger import Ledger
from tunesmith.errors import TunesmithError
from tunesmith.steps.dedup import Dedup

ROLES = Roles(("text",), "label")
PAIRS = [("Leak", "x"), ("leak ", "x"), ("leak", "y"), ("other", "x"), ("leak", "x"), ("other", "x")]


def enter(pairs: list[tuple[str, str]]) -> tuple[Ledger, list[Record]]:
    ledger = Ledger()
    rows = [(i + 2, {"text": t, "label": v}) for i, (t, v) in enumerate(pairs)]
    return ledger, ledger.add(Table("t.csv", ("text", "label"), list(rows), (), ""))


def run(step: Dedup) -> tuple[Ledger, list[int]]:
    ledger, records = enter(PAIRS)
    return ledger, [r.id for r in step.run(records, ROLES, ledger, 0)]


def test_normalised() -> None:
    ledger, kept = run(Dedup())
    assert kept == [0, 2, 3]
    assert [ledger.fate(i) for i in range(6)] == ["kept", "duplicate", "kept", "kept", "duplicate", "duplicate"]
    assert ledger._arrow()["of_row"].to_pylist() == [None, 1, None, None, 1, 4]
    assert ledger.changes["dedup"]["texts with different labels kept"] == 1


def test_exact() -> None:
    assert run(Dedup(by="exact"))[1] == [0, 1, 2, 3, 4]


def test_conflicts_dropped() -> None:
    ledger, kept = run(Dedup(conflicts="drop"))
    assert kept == [3]
    assert ledger.counts() | {"dropped": 4, "duplicate": 1, "unplaced": 1} == ledger.counts()


def test_conflicts_refused() -> None:
    with pytest.raises(
        TunesmithError,
        match=r"1 texts carry different labels: t\.csv:2, t\.csv:3.*\['x', 'y'\].*conflicts: keep or drop",
    ):
        run(Dedup(conflicts="refuse"))


def test_numbers_and_no_labels() -> None:
    ledger, records = enter([("a", "1.0"), ("a", "1"), ("a", "2")])
    assert [r.id for r in Dedup().run(records, Roles(("text",), "label", numeric_label=True), ledger, 0)] == [0, 2]
    ledger, records = enter([("a", "1"), ("a", "2")])
    assert [r.id for r in Dedup().run(records, Roles(("text",)), ledger, 0)] == [0]


def test_order_of_steps() -> None:
    def plan(*names: str) -> SimpleNamespace:
        return SimpleNamespace(steps=tuple(SimpleNamespace(name=n) for n in names))

    assert Dedup().objection(plan("clean", "dedup")) is None
    assert Dedup().objection(plan("dedup")) is None
    assert "Write clean before dedup" in str(Dedup().objection(plan("dedup", "clean")))

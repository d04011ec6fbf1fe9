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
        match=r"1 text carries different labels: t\.csv:2, t\.csv:3.*\['x', 'y'\].*conflicts: keep or drop",
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


NEAR = [
    ("the pump in hall four leaks", "x"),
    ("an entirely different matter here", "x"),
    ("The pump in hall four leaks!", "x"),
    ("the pump in hall four leak", "y"),
    ("the pump in hall four leaks oi", ""),
]


def test_near_keeps_the_better_row() -> None:
    ledger, records = enter(NEAR)
    kept = Dedup(by="near").run(records, ROLES, ledger, 0)
    assert [r.id for r in kept] == [1, 2, 3]  # of the label x the longer text; a row without a label is the worst
    assert [ledger.fate(i) for i in (0, 4)] == ["duplicate", "duplicate"]
    table = ledger._arrow().to_pylist()
    assert [table[i]["of_row"] for i in (0, 4)] == [3, 3]
    assert table[0]["reason"] == "dedup: near-duplicate of a row with its label, similarity 0.96"
    assert ledger.changes["dedup"]["groups of near-duplicates with different labels kept"] == 1
    assert ledger.counts()["duplicate"] == 2


def test_near_with_other_labels() -> None:
    ledger, records = enter(NEAR)
    assert [r.id for r in Dedup(by="near", conflicts="drop").run(records, ROLES, ledger, 0)] == [1]
    assert ledger.counts()["dropped"] == 4
    ledger, records = enter(NEAR)
    with pytest.raises(TunesmithError, match=r"1 group of near-duplicates carries .*t\.csv:2.*\['x', 'y'\]"):
        Dedup(by="near", conflicts="refuse").run(records, ROLES, ledger, 0)
    assert ledger.counts()["unplaced"] == 5  # nothing was marked


def test_near_is_deterministic_and_stricter_with_a_higher_similarity() -> None:
    for similarity, left in ((0.86, 3), (0.99, 5)):
        runs = []
        for _ in range(2):
            ledger, records = enter(NEAR)
            runs.append([r.id for r in Dedup(by="near", similarity=similarity).run(records, ROLES, ledger, 0)])
        assert runs[0] == runs[1]
        assert len(runs[0]) == left


def test_similarity_needs_near_and_texts() -> None:
    plan = SimpleNamespace(steps=(Dedup(similarity=0.9),))
    assert "similarity has no effect with by: normalised" in str(Dedup(similarity=0.9).objection(plan))
    assert Dedup(by="near", similarity=0.9).objection(plan) is None
    with pytest.raises(ValueError, match="greater than or equal to 0.8"):
        Dedup(by="near", similarity=0.5)
    ledger, records = enter(NEAR)
    with pytest.raises(TunesmithError, match=r"steps\.dedup\.by: .*inputs are none\. Write by: normalised"):
        Dedup(by="near").run(records, Roles(("pixels",), "label"), ledger, 0)

"""The ledger: one entry a row, fates that add up, and rows that leave once."""

import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tunesmith.data.format import Bad, Table
from tunesmith.data.ledger import Ledger


def table(rows: int, bad: tuple[int, ...] = (), source: str = "t.csv") -> Table:
    good = [(n + 1, {"text": f"row {n}"}) for n in range(1, rows + len(bad) + 1) if n not in bad]
    return Table(source, ("text",), list(good), (), "", tuple(Bad(n, n + 1, "1 cells", "x") for n in bad))


def test_every_row_is_entered() -> None:
    ledger = Ledger()
    first, second = ledger.add(table(3, bad=(2,))), ledger.add(table(2, source="v.csv"), split="validation")
    assert [(r.id, r.row, r.line) for r in first] == [(0, 1, 2), (2, 3, 4), (3, 4, 5)]
    assert [(r.id, r.source) for r in second] == [(4, "v.csv"), (5, "v.csv")]
    assert ledger.counts() == {
        "unplaced": 3, "train": 0, "validation": 2, "test": 0, "duplicate": 0, "dropped": 0, "malformed": 1,
    }  # fmt: skip


def test_written_and_read_back(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.add(table(1, bad=(1,)))
    records = ledger.add(table(4, source="b.csv"))
    ledger.mark(records[1].id, "duplicate", of=1)
    ledger.mark(records[2].id, "dropped", "too long")
    ledger.place([records[0]], "train")
    ledger.truncated(records[0].id, 17, 5)
    ledger.changed("clean", "tags", 3)
    ledger.to_parquet(tmp_path / "ledger.parquet")
    rows = pq.read_table(tmp_path / "ledger.parquet").to_pylist()
    assert [(r["source"], r["row"], r["line"], r["fate"], r["split"]) for r in rows] == [
        ("t.csv", 1, 2, "malformed", ""), ("t.csv", 2, 3, "kept", ""), ("b.csv", 1, 2, "kept", "train"),
        ("b.csv", 2, 3, "duplicate", ""), ("b.csv", 3, 4, "dropped", ""), ("b.csv", 4, 5, "kept", ""),
    ]  # fmt: skip
    assert [(r["of_source"], r["of_row"]) for r in rows] == [(None, None)] * 3 + [("t.csv", 2)] + [(None, None)] * 2
    assert [r["reason"] for r in rows] == ["1 cells: x", "", "", "", "too long", ""]
    assert [r["tokens_lost"] for r in rows] == [0, 0, 17, 0, 0, 0]
    assert [r["label_tokens_lost"] for r in rows] == [0, 0, 5, 0, 0, 0]
    summary = ledger.summary()
    assert summary["rows"] == 6 and sum(summary["fates"].values()) == 6
    assert summary["truncated"] == {"rows": 1, "tokens_lost": 17, "label_tokens_lost": 5}
    assert summary["sources"] == {"t.csv": 2, "b.csv": 4}
    assert summary["changes"] == {"clean": {"tags": 3}}
    assert summary["reasons"] == {"1 cells: x": 1, "too long": 1}


def test_a_row_leaves_once() -> None:
    ledger = Ledger()
    records = ledger.add(table(3))
    ledger.mark(0, "dropped", "why")
    for wrong in (
        lambda: ledger.mark(0, "dropped", "again"),
        lambda: ledger.mark(1, "dropped"),
        lambda: ledger.mark(1, "duplicate", "of nothing"),
        lambda: ledger.mark(1, "duplicate", of=1),
        lambda: ledger.mark(1, "kept"),
        lambda: ledger.place(records[:1], "train"),
        lambda: ledger.truncated(1, 0),
    ):
        with pytest.raises(AssertionError):
            wrong()
    ledger.place(records[1:], "train")
    with pytest.raises(AssertionError, match="in a split already"):
        ledger.place(records[1:], "test")


def test_fates_add_up_whatever_happens() -> None:
    chance = random.Random(0)
    for _ in range(50):
        ledger, n = Ledger(), chance.randrange(1, 40)
        records = ledger.add(table(n, bad=tuple(sorted(chance.sample(range(1, n + 4), 3)))))
        for record in records:
            what = chance.choice(["keep", "drop", "place"])
            if what == "drop":
                ledger.mark(record.id, "dropped", "chance")
            elif what == "place":
                ledger.place([record], chance.choice(["train", "validation", "test"]))
        counts = ledger.counts()
        assert sum(counts.values()) == len(ledger) == n + 3
        assert counts["malformed"] == 3


def test_an_empty_ledger_is_written(tmp_path: Path) -> None:
    Ledger().to_parquet(tmp_path / "ledger.parquet")
    assert pq.read_table(tmp_path / "ledger.parquet").num_rows == 0

"""Rows that took long to prepare are found again while nothing that they depend on differs, bit for bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunesmith import prepare as preparing
from tunesmith import scratch
from tunesmith.data import kept
from tunesmith.plan import Plan
from tunesmith.plan_text import make_plan
from tunesmith.prepare import prepare
from tunesmith.prepared import Prepared
from tunesmith.run import identity


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "SECONDS", 0.0)
    rows = [f"pump {i % 37} leaks <b>oil</b> at  site {i * 7919 % 101},{'abc'[i % 3]},{i % 5}" for i in range(90)]
    (tmp_path / "rows.csv").write_text("text,label,hours\n" + "\n".join([*rows, rows[3]]), encoding="utf-8")
    return {
        "task": {"name": "classify", "text": "text", "label": "label"}, "base": "minilm",
        "data": {"train": str(tmp_path / "rows.csv")},
        "steps": ["clean", {"name": "dedup", "by": "near"}, {"name": "balance", "how": "weights"}, "eda"],
    }  # fmt: skip


def plan(tree: dict[str, Any], **more: Any) -> Plan:
    return make_plan(tree | more)


def told(done: Prepared, folder: Path) -> tuple[Any, ...]:
    """All that a run takes of it."""
    done.ledger.to_parquet(folder / "ledger.parquet")
    rows = {name: list(records) for name, records in done.splits.items()}
    leaks = {name: (each.rows, each.held.tolist(), each.listed) for name, each in done.leaks.splits.items()}
    return (
        done.plan.model_dump(), done.roles, rows, done.about(), done.joined.tolist(), list(done.bare), leaks,
        (folder / "ledger.parquet").read_bytes(), done.digest, done.ledger.summary(),
    )  # fmt: skip


@pytest.mark.parametrize("limit", [8 << 20, 0])
def test_found_rows_equal_prepared_ones(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(scratch, "LIMIT", limit)
    plain = told(prepare(plan(tree), again=False), tmp_path)
    assert kept.held() == []
    first = told(prepare(plan(tree)), tmp_path)
    assert len(kept.held()) == 1
    monkeypatch.setattr(preparing, "_prepared", None)
    found = prepare(plan(tree, method="head", run="elsewhere"))  # what rows do not depend on may differ
    assert plain[1:] == first[1:] == told(found, tmp_path)[1:]
    assert found.plan.task == plan(tree).task
    assert type(found.splits["train"]) is (list if limit else type(found.splits["train"]))
    found.ledger.truncated(0, 3)  # what follows writes to it
    assert told(prepare(plan(tree)), tmp_path) == first


def test_what_differs_is_prepared_anew(tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    real = preparing._prepared
    monkeypatch.setattr(preparing, "_prepared", lambda *a, **k: calls.append(1) or real(*a, **k))
    changes: list[dict[str, Any]] = [
        {}, {"steps": ["clean"]}, {"train": {"seed": 1}}, {"data": tree["data"] | {"test": 0.2}},
        {"data": tree["data"] | {"cache": False}}, {"data": tree["data"] | {"cache": False}},
    ]  # fmt: skip
    for change in changes:
        prepare(plan(tree, **change))
    assert len(calls) == len(changes)
    prepare(plan(tree))
    assert len(calls) == len(changes)
    prepare(plan(tree), learn=False)
    with (tmp_path / "rows.csv").open("a", encoding="utf-8") as stream:
        stream.write("\none more row,a,1")
    prepare(plan(tree))
    monkeypatch.setattr(kept, "code", lambda: "another version")
    prepare(plan(tree))
    assert len(calls) == len(changes) + 3


def test_the_cache_is_no_part_of_what_a_run_is(tree: dict[str, Any]) -> None:
    without = plan(tree, data=tree["data"] | {"cache": False})
    assert identity(plan(tree), ["x"], "y") == identity(without, ["x"], "y")


def test_no_row_at_all(tmp_path: Path) -> None:
    from tunesmith.data import stored

    stored.save([], tmp_path, "none")
    assert stored.load(tmp_path, "none") == []
    assert np.load(tmp_path / "none.starts.npy").tolist() == [0, 0]

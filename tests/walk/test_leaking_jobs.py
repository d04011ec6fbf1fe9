"""A planted leak through a whole job: the raw metric stays, the one without leaks stands beside it everywhere."""

import json
from pathlib import Path

import pytest

from jobs import run_job, tree, write_tickets
from kit import TinyBases


@pytest.fixture
def planned(tiny_bases: TinyBases, tmp_path: Path) -> dict[str, object]:
    train, test = write_tickets(tmp_path / "train.csv", 60, 1), write_tickets(tmp_path / "test.csv", 21, 2)
    lines = train.read_text().splitlines()[1:]
    copies = [line.replace(" ", "  so ", 1) for line in lines[:6] if len(line.split()) > 6]
    assert copies
    test.write_text(test.read_text() + "\n".join(copies) + "\n")
    plan = tree(tiny_bases["bert"], train, tmp_path / "run", epochs=1)
    return plan | {"data": {"train": str(train), "test": str(test)}}


def test_a_leak_is_measured_and_told(planned: dict[str, object], tmp_path: Path) -> None:
    run_job(planned)
    run = tmp_path / "run"
    measured, data = (json.loads((run / f"{name}.json").read_text()) for name in ("metrics", "data"))
    found, told = measured["without_leaks"]["test"], data["near"]["splits"]["test"]
    assert found["left_out"] == told["leaked"] > 0
    assert found["rows"] + found["left_out"] == told["rows"]
    raw = measured["metrics"]["test"]
    assert set(found["metrics"]) == set(raw)
    assert {"value", "low", "high"} == set(found["metrics"]["macro_f1"])
    assert any("near-duplicates of training rows" in note for note in data["notes"])
    page = (run / "report.html").read_text("utf-8")
    assert "Test without leaks" in page
    compared = data["alike"]["comparisons"]
    assert {(one["split"], one["what"]) for one in compared} >= {(split, what) for split in ("validation", "test")
                                                                for what in ("labels", "lengths")}  # fmt: skip
    assert "Are the splits alike?" in page
    leaks = {(leak["split"], leak["what"], leak["column"]) for leak in data["alike"]["columns"]}
    assert leaks == set()  # `hours` is no identifier
    assert told["listed"][0]["twin"] in page
    assert "near-duplicates of training rows left out" in (run / "MODEL_CARD.md").read_text("utf-8")
    assert measured["without_leaks"]["validation"]["left_out"] >= 0


def test_the_plan_takes_them_out_or_looks_away(planned: dict[str, object]) -> None:
    from tunesmith.plan_text import make_plan
    from tunesmith.prepare import prepare

    prepared = prepare(make_plan({**planned, "data": {**planned["data"], "near": "remove"}}))  # type: ignore[dict-item]
    assert prepared.leaks.about()["splits"]["test"]["leaked"] == 0
    assert prepared.ledger.counts()["dropped"] > 0
    prepared = prepare(make_plan({**planned, "data": {**planned["data"], "near": "ignore"}}))  # type: ignore[dict-item]
    assert prepared.leaks.about() == {"skipped": "data.near=ignore"}

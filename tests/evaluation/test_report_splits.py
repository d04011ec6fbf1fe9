"""The section "Are the splits alike?": what a planted shift looks like, and what nothing looks like."""

import json
from pathlib import Path
from typing import Any

import pytest
from fake_runs import build
from report_pages import page_of, parsed

from edited import sentences
from tunesmith.data import Record, Roles
from tunesmith.data.audit import audit

ROLES = Roles(("text",), "label")


def rows(texts: list[str], **more: list[str]) -> list[Record]:
    every = {"text": texts, "label": ["a", "b"] * (len(texts) // 2), **more}
    return [Record(i, "f", i + 1, i + 2, dict(zip(every, cells, strict=True)))
            for i, cells in enumerate(zip(*every.values(), strict=True))]  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return build(tmp_path / "run")


def told(run: Path, alike: dict[str, Any]) -> str:
    data = json.loads((run / "data.json").read_text("utf-8")) | {"alike": alike}
    (run / "data.json").write_text(json.dumps(data), "utf-8")
    page = page_of(run)
    assert '<section id="alike">' in page and '<a href="#alike">' in page
    return parsed(page).text


def test_a_planted_shift_is_told_with_its_words_and_columns(run: Path) -> None:
    texts = sentences(200, 0)
    days = [f"2024-0{i % 9 + 1}-11" for i in range(100)]
    train, test = rows(texts[:100], day=days), rows([f"{t} <b>refit</b>" for t in texts[100:]], day=days)
    text = told(run, audit(train, {"test": test}, ROLES).about())
    assert "Test rows are not like the training rows" in text and "What gives them away most: “" in text
    assert "What gives test rows away" in text and "refit" in text
    assert "Test, column “day”: rows from before the end of training." in text


def test_splits_of_one_pot_are_alike(run: Path) -> None:
    texts = sentences(200, 0)
    text = told(run, audit(rows(texts[:100]), {"test": rows(texts[100:])}, ROLES).about())
    assert "Test rows are like the training rows: labels, lengths and wording differ no more than by chance." in text
    assert "not like" not in text and "gives" not in text.split("Are the splits alike?")[2].split("p, corrected")[0]


def test_pictures_say_why_and_old_runs_say_nothing(run: Path) -> None:
    assert "Are the splits alike?" not in page_of(run)
    found = audit(rows(["a"] * 40), {"test": rows(["b"] * 40)}, Roles(("pixels",), "label", file="text"))
    text = told(run, found.about())
    assert "Lengths and wording were not compared: these inputs are no texts." in text
    assert "Test rows are like the training rows: labels differ no more than by chance." in text

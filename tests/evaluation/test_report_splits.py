"""The section "Are the splits alike?": what a planted shift looks like, and what nothing looks like."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_runs import build
from report_pages import page_of, parsed

from edited import sentences
from tunesmith.data import Record, Roles
from tunesmith.data.audit import audit, joined
from tunesmith.evaluation.report_blocks import Table
from tunesmith.evaluation.report_read import read
from tunesmith.evaluation.report_splits import alike

ROLES = Roles(("text",), "label")


def rows(texts: list[str], **more: list[str]) -> list[Record]:
    every = {"text": texts, "label": ["a", "b"] * (len(texts) // 2), **more}
    return [Record(i, "f", i + 1, i + 2, dict(zip(every, cells, strict=True)))
            for i, cells in enumerate(zip(*every.values(), strict=True))]  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return build(tmp_path / "run")


def told(run: Path, found: dict[str, Any]) -> str:
    data = json.loads((run / "data.json").read_text("utf-8")) | {"alike": found}
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
    shared = text.split("On both sides of the split")[1]
    assert "day" in shared and "older than the last training row" in shared and "hold out the latest rows" in shared


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


def blocks(run: Path, found: dict[str, Any]) -> list[Table]:
    """The two tables of the section, as far as they are there."""
    named = ("Compared with training rows", "On both sides of the split")
    section = alike(replace(read(run), data={"alike": found}))
    return [block for block in section.blocks if isinstance(block, Table) and block.caption in named]


def test_a_row_for_each_thing_and_column_and_a_mark_where_a_split_differs(run: Path) -> None:
    texts, crews = sentences(300, 0), [f"crew-{i % 40:03d}" for i in range(100)]
    held = {"validation": rows(texts[100:200], crew=crews),
            "test": rows([f"{text} refit" for text in texts[200:]], crew=crews)}  # fmt: skip
    found = audit(rows(texts[:100], crew=crews), held, ROLES).about()
    compared, shared = blocks(run, found)
    assert [cells[0].text for cells in compared.rows] == ["labels", "lengths", "wording"]
    assert list(compared.header[2:]) == list(shared.header[2:]) == ["Validation", "Test"]
    marks = {cells[0].text: [cell.text.endswith(" differ") for cell in cells[2:]] for cells in compared.rows}
    assert marks["labels"] == [False, False] and marks["wording"] == [False, True]
    told_shared = [[cell.text.replace("\u00a0", " ") for cell in cells] for cells in shared.rows]
    assert told_shared == [["crew", "values of training rows", "100 of 100 rows", "100 of 100 rows"]]
    assert told(run, found).count("keep them on one side") == 1


def test_several_tasks_have_rows_of_their_own(run: Path) -> None:
    found = audit(rows(sentences(40, 0)), {"test": rows(sentences(40, 1))}, ROLES)
    (table,) = blocks(run, joined([found.named("kind"), found.named("hours")]).about())
    names = [f"{task}: {what}" for task in ("kind", "hours") for what in ("labels", "lengths", "wording")]
    assert [cells[0].text for cells in table.rows] == names
    assert list(table.header) == ["What", "Measured", "Test"]

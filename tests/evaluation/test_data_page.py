"""`data check` with its page: what is told, what is drawn, and whose files are never overwritten."""

import re
from pathlib import Path

import pytest

from tunesmith.errors import TunesmithError
from tunesmith.evaluation.data_page import render, write_data_page
from tunesmith.flows import check


def table(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("\n".join(["text,label", *(f"{text},{label}" for text, label in rows)]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = [(f"pump {i} <script>alert(1)</script>" if i == 3 else f"pump {i} leaks oil", "ab"[i % 3 == 0])
            for i in range(30)]  # fmt: skip
    return table(tmp_path / "t.csv", rows)


def test_the_reply_describes_columns_classes_and_lengths(file: Path) -> None:
    reply = check(file)
    assert [(c["name"], c["kind"]) for c in reply["described"]["columns"]] == [("text", "text"), ("label", "category")]
    assert reply["described"]["classes"] == {"a": 20, "b": 10}
    (lengths,) = reply["described"]["lengths"]
    assert sum(lengths["counts"]) == 30 and len(lengths["edges"]) == len(lengths["counts"]) + 1


def test_further_files_are_held_out_and_looked_through_for_leaks(file: Path, tmp_path: Path) -> None:
    held = table(tmp_path / "test.csv", [("PUMP 5 leaks  oil", "a"), ("a new one", "b")])
    reply = check(file, held)
    assert [(f["kind"], f["rows"]) for f in reply["findings"] if f["severity"] == "error"] == [("overlap", 1)]
    assert [(h["file"], h["rows"]) for h in reply["held_out"]] == [(str(held), 2)]


def test_the_page_is_whole_runs_nothing_and_escapes_what_comes_from_data(file: Path, tmp_path: Path) -> None:
    reply = check(file, page=tmp_path / "data.html")
    page = Path(reply["page"]).read_text(encoding="utf-8")
    assert "<script" not in page and not re.search(r'(src|href)="(?!#)', page) and "default-src 'none'" in page
    for heading in ("What was found", "Columns", "Class balance", "Lengths", "Files"):
        assert f">{heading}</h2>" in page
    assert page == render(reply), "the same reply gives the same bytes"


def test_somebody_elses_page_is_not_overwritten(file: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "data.html"
    theirs.write_text("<html>mine</html>")
    with pytest.raises(TunesmithError, match="not overwritten"):
        check(file, page=theirs)
    assert theirs.read_text() == "<html>mine</html>"
    ours = tmp_path / "ours.html"
    write_data_page(check(file), ours)
    write_data_page(check(file), ours)


def test_an_empty_table_has_a_page_too(tmp_path: Path) -> None:
    empty = tmp_path / "e.csv"
    empty.write_text("text,label\n")
    with pytest.raises(TunesmithError, match="no rows"):
        check(empty)

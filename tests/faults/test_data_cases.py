"""Faults of data that no test of a single module shows (FAULTS B15, B21, L2)."""

from pathlib import Path

from tunesmith.checking import check_files
from tunesmith.data.table import read
from tunesmith.evaluation.data_page import render
from tunesmith.plan_text import make_plan
from tunesmith.prepare import prepare


def test_twins_of_two_unicode_forms_are_one_text(tmp_path: Path) -> None:
    """B15: composed and decomposed, with 1,000 combining marks, an emoji of several code points, a turned direction."""
    texts = [
        "the caf\u00e9 is closed",
        "the cafe\u0301 is closed",
        "a" + "\u0301" * 1000,
        "\u202eright to left",
        "👩‍👩‍👧 ok",
    ]
    (file := tmp_path / "rows.csv").write_text("text,label\n" + "".join(f"{t},x\n" for t in texts), encoding="utf-8")
    assert [cells["text"] for _, cells in read(file).rows] == texts
    found = {f["kind"]: f["rows"] for f in check_files([file], None, None)["findings"]}
    assert found["duplicates"] == 1
    assert found["bidi_marks"] == 1


def test_ten_thousand_columns_and_names_that_are_code(tmp_path: Path) -> None:
    """B21: every column is described, and no name acts on the page."""
    names = ["text", "label", "<script>alert(1)</script>", "'; DROP TABLE rows; --", *(f"c{i}" for i in range(9996))]
    rows = [",".join(["a b", "x", *("1" for _ in names[2:])]) for _ in range(2)]
    (file := tmp_path / "rows.csv").write_text("\n".join([",".join(names), *rows]), encoding="utf-8")
    reply = check_files([file], None, None)
    assert [each["name"] for each in reply["described"]["columns"]] == names
    page = render(reply)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_classes_that_stand_in_a_held_out_file_alone_are_named(tmp_path: Path) -> None:
    """L2: an unseen label is told with the number of its rows, and counts as wrong."""
    for name, labels in (("train", "ab" * 20), ("test", "abcc"), ("validation", "abd")):
        text = "".join(f"text {i} of {name},{label}\n" for i, label in enumerate(labels))
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{text}", encoding="utf-8")
    files = {name: str(tmp_path / f"{name}.csv") for name in ("train", "validation", "test")}
    plan = make_plan({"task": {"name": "classify", "text": "text", "label": "label"}, "base": "minilm", "data": files})
    notes = " ".join(prepare(plan).notes)
    assert "1 labels stand in test and not in train: 'c' (2 rows). They cannot be answered and count as wrong" in notes
    assert "1 labels stand in validation and not in train: 'd' (1 rows)" in notes

"""Roles are inferred when plain and refused when not; cells by role carry their place in errors."""

from typing import Any

import pytest

from tunesmith.data import Record
from tunesmith.data.format import Table
from tunesmith.data.roles import infer_label, infer_text, label_of, labels_of, number_of, text_of
from tunesmith.errors import TunesmithError


def table(**columns: list[Any]) -> Table:
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return Table("t.csv", tuple(columns), list(enumerate(rows, 2)), (), "")


LONG = ["the pump leaks oil", "no pressure at all", "motor will not start", "it is loud today"]


@pytest.mark.parametrize(
    ("columns", "text", "label"),
    [
        ({"text": LONG, "label": list("aabb")}, "text", "label"),
        ({"Description": LONG, "Category": list("aabb")}, "Description", "Category"),
        ({"内容": LONG, "标签": list("aabb")}, "内容", "标签"),
        ({"text": LONG, "content": LONG, "label": list("aabb")}, "text", "label"),
        ({"foo": LONG, "bar": list("aabb")}, "foo", "bar"),
        ({"nr": ["1", "2", "3", "4"], "foo": LONG, "bar": [1, 1, 0, 0]}, "foo", "bar"),
        ({"foo": ["天气很好啊", "公司股票跌", "球队赢了球", "新闻发布会"], "bar": list("aabb")}, "foo", "bar"),
    ],
)
def test_inferred(columns: dict[str, list[Any]], text: str, label: str) -> None:
    found = table(**columns)
    assert infer_text(found.columns, found) == text
    assert infer_label([c for c in found.columns if c != text], found) == label


def test_in_doubt_names_the_candidates() -> None:
    found = table(content=LONG, message=LONG, one=list("aabb"), two=list("abab"))
    with pytest.raises(
        TunesmithError, match=r"t\.csv: cannot tell which column is the text: 2 columns.*'content', 'message'"
    ):
        infer_text(found.columns, found)
    with pytest.raises(
        TunesmithError, match=r"the label: 2 columns could be it: 'one', 'two'.*task: \{label: COLUMN\}"
    ):
        infer_label(found.columns, found)
    with pytest.raises(TunesmithError, match="no column looks like it"):
        infer_text(["one"], found)


def record(value: Any) -> Record:
    return Record(0, "t.csv", 3, 4, {"c": value})


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("001", "001"),
        (" 1", " 1"),
        ("NA", "NA"),
        (1, "1"),
        (-1, "-1"),
        (2**53 + 1, "9007199254740993"),
        (1.0, "1.0"),
        (True, "true"),
    ],
)
def test_labels(value: Any, label: str) -> None:
    assert label_of(record(value), "c") == label


@pytest.mark.parametrize("value", [None, "", "  ", float("nan"), float("inf"), ["a"], {"a": 1}])
def test_labels_refused(value: Any) -> None:
    with pytest.raises(TunesmithError, match=r"^t\.csv:4: column 'c': .*Write a text or a number"):
        label_of(record(value), "c")


def test_label_sets() -> None:
    assert labels_of(record(["a", 1, "a"]), "c") == ("a", "1")
    assert labels_of(record([]), "c") == labels_of(record(""), "c") == ()
    assert labels_of(record("4,27"), "c", ",") == ("4", "27")
    assert labels_of(record("a; b"), "c", ";") == ("a", "b")
    assert labels_of(record('["a,b", "c"]'), "c") == ("a,b", "c")
    for value, separator in ((None, None), ("a|b", None), ("a,,b", ","), ({"a": 1}, None), ([None], None), ("3", None)):
        with pytest.raises(TunesmithError, match=r"^t\.csv:4: column 'c'"):
            labels_of(record(value), "c", separator)


@pytest.mark.parametrize(("value", "number"), [("1.5", 1.5), (" -3e2 ", -300.0), (2, 2.0), (".5", 0.5), ("007", 7.0)])
def test_numbers(value: Any, number: float) -> None:
    assert number_of(record(value), "c") == number


@pytest.mark.parametrize(
    "value", ["1,5", "nan", "inf", "1e999", "1_000", "", "٣", "0x1", None, True, float("inf"), 10**400, [1]]
)
def test_numbers_refused(value: Any) -> None:
    with pytest.raises(TunesmithError, match=r"^t\.csv:4: column 'c': not a finite number.*decimal point"):
        number_of(record(value), "c")


def test_texts() -> None:
    assert text_of(record(""), "c") == ""
    for value in (None, 5, ["a"]):
        with pytest.raises(TunesmithError, match=r"^t\.csv:4: column 'c': not a text"):
            text_of(record(value), "c")
    with pytest.raises(TunesmithError, match=r"^t\.csv:4: no column named 'C' .*Did you mean 'c'"):
        text_of(record("x"), "C")
    with pytest.raises(TunesmithError, match=r"^t\.parquet: row 3: column 'c'"):
        text_of(Record(0, "t.parquet", 3, 0, {"c": None}), "c")

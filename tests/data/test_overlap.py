"""Rows that are one input in two spellings, labels that contradict, and labels that are one in two spellings."""

import pytest

from tunesmith.data import Record, Roles
from tunesmith.data.overlap import conflicts, label_twins, normal, overlap

ROLES = Roles(("text",), "label")


def rows(*pairs: tuple[str, str], start: int = 0) -> list[Record]:
    return [Record(start + i, "t.csv", i + 1, i + 2, {"text": t, "label": v}) for i, (t, v) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Pump  leaks ", "pump leaks", True),
        ("caf\u00e9", "cafe\u0301", True),
        ("ＡＢＣ１２", "abc12", True),
        ("STRASSE", "straße", True),
        ("a\u200bb", "ab", True),
        ("泵 漏油", "泵\u3000漏油", True),
        ("泵漏油", "泵漏水", False),
        ("p < 0.3", "p > 0.3", False),
        ("-3.2", "3.2", False),
        ("no leak!", "no leak?", False),
    ],
)
def test_normal(one: str, other: str, same: bool) -> None:
    assert (normal(one) == normal(other)) is same


def test_overlap_names_both_rows() -> None:
    train, test = rows(("A b", "x"), ("a  B", "x"), ("c", "y")), rows(("a b", "z"), ("d", "x"), start=10)
    assert [(one.id, other.id) for one, other in overlap(train, test, ROLES)] == [(0, 10)]


def test_side_columns_tell_inputs_apart() -> None:
    roles = Roles(("text",), "label", side=("site",))
    records = [Record(i, "t.csv", 1, 2, {"text": "a", "label": str(i), "site": s}) for i, s in enumerate("xyx")]
    assert [[r.id for r in same] for same in conflicts(records, roles)] == [[0, 2]]


def test_conflicts() -> None:
    records = rows(("a", "x"), ("A ", "y"), ("b", "x"), ("b", "x"))
    assert [[r.id for r in same] for same in conflicts(records, ROLES)] == [[0, 1]]


def test_label_twins_are_told() -> None:
    labels = [
        "Leak",
        "leak ",
        "Leakage",
        "001",
        "1",
        "1.0",
        "10",
        "caf\u00e9",
        "cafe\u0301",
        "fail_open",
        "Fail open",
        "-1",
    ]
    assert label_twins(labels) == [
        ("001", "1", "1.0"), ("Fail open", "fail_open"), ("Leak", "leak "), ("cafe\u0301", "caf\u00e9"),
    ]  # fmt: skip
    assert label_twins(["a", "b", "c++", "c"]) == []

"""Findings that name rows and remedies."""

from typing import Any

import pytest

from tunesmith.checks import CHECKS, Finding, Seen, check
from tunesmith.data import Record, Roles

ROLES = Roles(("text",), "label")


def rows(*cells: dict[str, Any]) -> list[Record]:
    return [Record(i, "t.csv", i + 1, i + 2, c) for i, c in enumerate(cells)]


def texts(*pairs: tuple[str, str]) -> list[Record]:
    return rows(*({"text": t, "label": v} for t, v in pairs))


def kinds(found: list[Finding]) -> dict[str, Finding]:
    return {f.kind: f for f in found}


PLAIN = [(f"the machine {i} made a noise", "ab"[i % 2]) for i in range(20)]


def test_nothing_to_say() -> None:
    assert set(kinds(check(texts(*PLAIN), ROLES))) == {"script"}


@pytest.mark.parametrize(
    ("extra", "kind", "count", "says"),
    [
        ([("The Machine 0  made a noise", "a")], "duplicates", 1, r"^1 row repeats.*t\.csv:2, t\.csv:22.*dedup"),
        ([("the machine 0 made a noise", "b")], "conflicts", 2, r"^1 text carries different labels.*conflicts: drop"),
        ([("other", "A")] * 1, "label_twins", 11, r"'A' and 'a'"),
        ([("other", "c")], "tiny_classes", 1, r"'c' \(1\)"),
        ([(f"other {i}", "b") for i in range(200)], "imbalance", 220, r"21 times.*macro_f1"),
        ([("", "a")], "empty_text", 1, r"t\.csv:22.*Remove"),
        ([("a<br>b &amp; c", "a")], "html", 1, "step clean"),
        ([("a\x07b", "a")], "control_characters", 1, "step clean"),
        ([("cafÃ© noir", "a")], "mojibake", 1, "wrong encoding"),
        ([("a\u202eb", "a")], "bidi_marks", 1, "direction"),
        ([("long " * 3000, "a")], "long_text", 1, "10000 characters"),
        ([("天气很好", "a")] * 1, "script", 21, r"latin \d\d%, cjk \d%"),
        ([(f"this is spam {i}", "spam") for i in range(6)], "label_in_text", 6, "'spam' stands in 6 of 6"),
    ],
)
def test_found(extra: list[tuple[str, str]], kind: str, count: int, says: str) -> None:
    found = kinds(check(texts(*PLAIN, *extra), ROLES))
    assert kind in found
    assert found[kind].rows == count
    assert __import__("re").search(says, found[kind].remedy), found[kind].remedy


def test_clean_signs_are_not_debris() -> None:
    found = kinds(
        check(texts(*PLAIN, ("泵A-12漏油,压力<0.3!", "a"), ("a<b and c>d", "b"), ("Ça va, Â? crème", "a")), ROLES)
    )
    assert not {"html", "mojibake", "control_characters"} & set(found)


def test_overlap_is_the_first_finding() -> None:
    found = check(texts(*PLAIN), ROLES, held_out=texts(("THE MACHINE 3 made a noise", "b")))
    assert (found[0].kind, found[0].severity, found[0].rows) == ("overlap", "error", 1)


def test_telling_columns() -> None:
    mapped = [{"text": t, "label": v, "code": f"k{v}", "id": i, "mood": "x"} for i, (t, v) in enumerate(PLAIN * 3)]
    found = [f for f in check(rows(*mapped), ROLES) if f.kind == "telling_column"]
    assert len(found) == 1 and "'code' alone tells 100%" in found[0].remedy and found[0].severity == "info"
    ordered = sorted(mapped, key=lambda c: c["label"])
    ordered = [c | {"id": i, "code": "x"} for i, c in enumerate(ordered)]
    found = [f for f in check(rows(*ordered), Roles(("text",), "label", side=("id",))) if f.kind == "telling_column"]
    assert len(found) == 1 and "'id' alone tells" in found[0].remedy and found[0].severity == "warning"


def test_missing_values_are_found_and_do_not_stop_the_check() -> None:
    records = rows(
        *({"text": t, "label": v} for t, v in PLAIN), {"text": None, "label": "a"}, {"text": "b", "label": " "}
    )
    found = [(f.kind, f.rows, f.column, f.severity) for f in check(records, ROLES)][:2]
    assert found == [("missing_value", 1, "text", "error"), ("missing_value", 1, "label", "error")]
    assert check(rows({"image": "a"}), Roles(())) == []


def test_numbers_and_label_sets_are_no_classes() -> None:
    numbers = rows(*({"text": t, "label": i * 1.5} for i, (t, _) in enumerate(PLAIN)))
    assert set(kinds(check(numbers, Roles(("text",), "label", numeric_label=True)))) == {"script"}
    sets = rows(*({"text": t, "label": [v]} for t, v in PLAIN))
    assert set(kinds(check(sets, ROLES))) == {"script"}
    assert Finding("a", 1, None, "info", "b").as_json() == {
        "kind": "a", "rows": 1, "column": None, "severity": "info", "remedy": "b", "listed": [],
    }  # fmt: skip


def test_each_check_has_nothing_to_say_of_no_rows() -> None:
    for name in CHECKS.names():
        assert list(CHECKS.make(name).look(Seen([], ROLES))) == []


LONGER = [
    ("the pump in hall four leaks oil again", "a"),
    ("the pump in hall four leaks oil agan", "b"),
    ("smoke comes out of motor two", "a"),
]


def test_near_duplicates_are_left_to_the_thorough_check() -> None:
    assert not {"near_duplicates", "drift"} & set(kinds(check(texts(*LONGER), ROLES)))
    held = texts(("smoke comes out of the motor two", "a"), ("smoke comes out of motor two", "a"))
    found = kinds(check(texts(*LONGER, LONGER[2]), ROLES, held, thorough=True))
    assert found["near_duplicates"].rows == 1
    assert "t.csv:2, t.csv:3" in found["near_duplicates"].remedy
    assert found["near_conflicts"].rows == 2
    assert found["near_conflicts"].remedy.startswith("1 group of near-duplicates carries different labels")
    assert found["near_overlap"].rows == 1
    assert "t.csv:4, t.csv:2" in found["near_overlap"].remedy


def test_splits_that_are_not_alike() -> None:
    train = rows(*({"text": f"noise at pump {i % 7}", "label": "ab"[i % 2], "day": f"2024-02-{i % 28 + 1:02}",
                    "machine": f"M{i % 15}"} for i in range(60)))  # fmt: skip
    held = rows(*({"text": f"smoke at fan {i % 7}", "label": "ab"[i % 2], "day": "2024-01-03", "machine": "M2"}
                  for i in range(60)))  # fmt: skip
    found = kinds(check(train, ROLES, held, thorough=True))
    assert "wording of held-out rows differ" in found["drift"].remedy
    assert "'smoke' (0% of training rows, 100% here)" in found["drift"].remedy
    assert (found["time_leak"].rows, found["time_leak"].column) == (60, "day")
    assert (found["group_leak"].rows, found["group_leak"].column) == (60, "machine")
    assert "drift" not in kinds(check(train[:30], ROLES, train[30:], thorough=True))

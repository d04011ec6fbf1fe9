"""Near-duplicates between splits: found, listed with both places, noted, or taken out by plan; never in silence."""

import pytest

from tunesmith.data.format import Table
from tunesmith.data.leaks import find, remove
from tunesmith.data.ledger import Ledger
from tunesmith.data.record import Record, Roles
from tunesmith.errors import TunesmithError

ROLES = Roles(("text",), "label")
TRAIN = ["the pump in hall four leaks oil", "the screw of door nine is loose", "smoke comes out of motor two"]
HELD = ["the pump in hall four leaks oill", "nothing like what stands there", "smoke comes out of motor twp"]


def enter() -> tuple[Ledger, dict[str, list[Record]]]:
    ledger, splits = Ledger(), {}
    for name, texts in (("train", TRAIN), ("test", HELD)):
        lines = [(i + 2, {"text": text, "label": "x"}) for i, text in enumerate(texts)]
        splits[name] = list(ledger.add(Table(f"{name}.csv", ("text", "label"), lines, (), "")))
    return ledger, splits


def test_they_are_listed_and_noted() -> None:
    _, splits = enter()
    notes: list[str] = []
    found = find({"test": splits["test"]}, splits["train"], ROLES, notes)
    assert found.splits["test"].held.tolist() == [3, 5]
    about = found.about()["splits"]["test"]
    assert (about["rows"], about["leaked"], about["crowded"]) == (3, 2, 0)
    assert about["listed"] == [
        {"row": "test.csv:2", "twin": "train.csv:2", "similarity": 0.969},
        {"row": "test.csv:4", "twin": "train.csv:4", "similarity": 0.964},
    ]
    assert len(notes) == 1
    assert "2 of 3 rows of test (66.7%)" in notes[0]
    assert "test.csv:2 of train.csv:2 (similarity 0.969)" in notes[0]


def test_nothing_found_is_no_note() -> None:
    _, splits = enter()
    notes: list[str] = []
    assert find({"test": splits["test"][1:2]}, splits["train"], ROLES, notes).about()["splits"]["test"]["leaked"] == 0
    assert not notes


def test_training_rows_leave_by_plan() -> None:
    ledger, splits = enter()
    notes: list[str] = []
    remove(splits, "train", "test", ROLES, ledger, notes)
    assert [record.id for record in splits["train"]] == [1]
    assert ledger.counts()["dropped"] == 2
    assert ledger.summary()["reasons"] == {"nearly the same text stands in test, similarity 0.96": 2}
    assert notes == ["2 rows left train because nearly the same text stands in test (data.near=remove)"]
    assert not len(find({"test": splits["test"]}, splits["train"], ROLES, notes).splits["test"].held)


def test_what_is_no_text_is_told() -> None:
    ledger, splits = enter()
    roles = Roles(("pixels",), "label", file="image")
    assert "texts" in find({"test": splits["test"]}, splits["train"], roles, []).about()["skipped"]
    with pytest.raises(TunesmithError, match=r"data\.near: remove has no effect: .*inputs are none"):
        remove(splits, "train", "test", roles, ledger, [])

"""The step pii: placeholders that are stable within a row, counts in the ledger, nothing else touched."""

from tunesmith.checks import Seen
from tunesmith.checks.personal_data import PersonalData
from tunesmith.data import Record, Roles
from tunesmith.data.ledger import Ledger
from tunesmith.steps.pii import Pii

ROLES = Roles(("text", "more"), "label")


def row(text: str, more: str = "nothing") -> Record:
    return Record(0, "t.csv", 1, 2, {"text": text, "more": more, "label": "a@b.example", "id": "a@b.example"})


def test_the_same_value_has_the_same_placeholder_across_the_columns_of_a_row() -> None:
    ledger = Ledger()
    (after,) = Pii().run([row("a@b.example, c@d.example, A@B.example", "to c@d.example")], ROLES, ledger, 0)
    assert after.cells["text"] == "[EMAIL_1], [EMAIL_2], [EMAIL_1]" and after.cells["more"] == "to [EMAIL_2]"
    assert after.cells["label"] == after.cells["id"] == "a@b.example", "what the model does not read stays as it is"
    assert ledger.changes == {"pii": {"email masked": 4, "rows": 1}}


def test_kinds_and_numbers_are_settings() -> None:
    step = Pii(kinds=("card",), numbered=False)
    (after,) = step.run([row("a@b.example 4111111111111111")], ROLES, Ledger(), 0)
    assert after.cells["text"] == "a@b.example [CARD]"


def test_masking_twice_changes_nothing_more() -> None:
    first = Pii().run([row("call +49 89 636 48018 or a@b.example, password: hunter2hunter")], ROLES, Ledger(), 0)
    ledger = Ledger()
    assert list(Pii().run(first, ROLES, ledger, 0)) == list(first) and not ledger.changes
    assert "hunter2" not in str(first[0].cells["text"])


def test_the_finding_counts_rows_and_never_shows_the_value() -> None:
    found = list(PersonalData().look(Seen([row("a@b.example"), row("password: hunter2hunter"), row("fine")], ROLES)))
    assert [(f.kind, f.rows) for f in found] == [("personal_data", 1), ("secrets", 1)]
    assert not any("hunter2" in f.remedy or "a@b" in f.remedy for f in found)

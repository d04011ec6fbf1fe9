"""Steps that rewrite texts: what goes, what stays, what is counted; and the length limits."""

from collections import Counter
from typing import Any

import pytest

from tunesmith.checks import Seen
from tunesmith.checks.boilerplate import Boilerplate as Repeated
from tunesmith.data import Record, Roles
from tunesmith.data.format import Table
from tunesmith.data.ledger import Ledger
from tunesmith.steps import STEPS, Step
from tunesmith.steps._rewriting import Rewriting
from tunesmith.steps.length import Length

ROLES = Roles(("text",), "label")
LINE = "Sent from my phone, please excuse typos."
SETTINGS: dict[str, dict[str, Any]] = {"boilerplate": {"lines": [LINE, "内部资料 请勿外传"]}}
CASES = [
    ("urls", "see https://a.example/x?y=1), then www.b.example.", "see [URL]), then [URL]."),
    ("urls", "详见http://a.example/泵，谢谢", "详见[URL]，谢谢"),
    ("urls", "a.b@www.example and 3.14", "a.b@www.example and 3.14"),
    ("repair", "cafÃ© noir, donâ€™t", "café noir, don’t"),
    ("repair", "Ça va “déjà” ２４℃ 泵漏油", "Ça va “déjà” ２４℃ 泵漏油"),
    ("chinese", "水泵漏油，頭髮 A-12", "水泵漏油，头发 A-12"),
    ("boilerplate", f"The belt slipped.\n{LINE}\n", "The belt slipped."),
    ("boilerplate", "泵漏油。 内部资料  请勿外传", "泵漏油。"),
    ("boilerplate", "  nothing of it ", "  nothing of it "),
]


def made(name: str) -> Step:
    return STEPS.find(name).model_validate({"name": name} | SETTINGS.get(name, {}))


def row(text: str, i: int = 0) -> Record:
    return Record(i, "t.csv", i + 1, i + 2, {"text": text, "label": text})


@pytest.mark.parametrize(("name", "before", "after"), CASES)
def test_a_text_is_rewritten_once_and_counted(name: str, before: str, after: str) -> None:
    pytest.importorskip({"repair": "ftfy", "chinese": "opencc"}.get(name, "numpy"))
    ledger = Ledger()
    (out,) = made(name).run([row(before)], ROLES, ledger, 0)
    assert out.cells == {"text": after, "label": before}, "the label is never rewritten"
    changes = ledger.changes.get(name, Counter())
    assert (changes["rows"] == 1 and changes.total() > 1) if before != after else not +changes
    assert list(made(name).run([out], ROLES, Ledger(), 0)) == [out], "once is enough"


def test_every_rewriting_step_is_tried_above() -> None:
    found = {name for name in STEPS.names() if issubclass(STEPS.find(name), Rewriting)}
    assert found - {"clean", "pii"} == {name for name, *_ in CASES}


def test_traditional_characters_go_by_phrases() -> None:
    pytest.importorskip("opencc")
    step: Any = STEPS.find("chinese").model_validate({"name": "chinese", "to": "traditional"})
    assert step.tidy("头发发展")[0] == "頭髮發展"


def test_lengths_drop_training_rows_and_tell_why() -> None:
    ledger = Ledger()
    rows = [(i + 2, {"text": "x" * size, "label": "a"}) for i, size in enumerate((0, 3, 5, 9))]
    records = ledger.add(Table("t.csv", ("text", "label"), list(rows), (), ""))
    ledger.place(records, "train")
    kept = Length(least=3, most=5).run(records, ROLES, ledger, 0)
    assert [len(str(r.cells["text"])) for r in kept] == [3, 5] and Length.scope == "train"
    assert ledger.summary()["reasons"] == {
        "length: shorter than 3 characters": 1, "length: longer than 5 characters": 1,
    }  # fmt: skip


@pytest.mark.parametrize(("settings", "says"), [({}, "does nothing"), ({"least": 9, "most": 3}, "no text has both")])
def test_limits_that_make_no_sense_are_refused(settings: dict[str, int], says: str) -> None:
    assert says in (Length(**settings).objection(None) or "")


def test_lines_of_many_texts_are_found_and_those_of_few_are_not() -> None:
    records = [row(f"pump {i} leaks near valve {i}. {LINE if i % 2 else ''}", i) for i in range(40)]
    (found,) = Repeated().look(Seen(records, ROLES))
    assert (found.rows, found.kind) == (20, "boilerplate") and LINE in found.remedy
    assert not list(Repeated().look(Seen(records[:10], ROLES)))
    assert not list(Repeated().look(Seen([row("the very same text", i) for i in range(40)], ROLES)))

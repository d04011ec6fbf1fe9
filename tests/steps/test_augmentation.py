"""What every augmentation step keeps: the rows, their labels and spans, what is guarded, the ledger, and the draws."""

import re
from pathlib import Path
from typing import Any

import pytest

import augmenting
from augmenting import KEPT, LABELS, ROLES, TEXTS
from kit import TinyBases
from tunesmith.data import Roles
from tunesmith.data.record import MADE
from tunesmith.data.segment import is_wide
from tunesmith.steps import STEPS
from tunesmith.steps._augmenting import Augmentation
from tunesmith.steps._passage import passage

HAN = re.compile("[\u4e00-\u9fff]")
WAYS: dict[str, dict[str, Any]] = {
    "synonyms": {"rate": 0.9}, "eda": {}, "noise": {"rate": 0.5}, "mask": {"rate": 0.4},
    "contextual": {"rate": 0.5}, "backtranslate": {}, "paraphrase": {"prompt": "{text}", "max_tokens": 20},
}  # fmt: skip
"""Settings that every step of the folder is tried with."""


class Base:
    """A base as a plan has it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, str(folder)

    def found(self, *, online: bool = False) -> Any:
        from tunesmith.bases.find import find

        return find(self.name, online=online)


def stuttered(net: Any, asked: Any, draws: Any, **how: Any) -> Any:
    """In the place of a model that writes (its own tests run real ones): the text with one of its tokens twice."""
    import torch

    rows = [ids[mask.bool()].tolist() for ids, mask in zip(asked["input_ids"], asked["attention_mask"], strict=True)]
    new = [[*ids[:at], *ids[at - 1 :]] for ids, draw in zip(rows, draws, strict=True)
           for at in (draw.randint(1, len(ids)),)]  # fmt: skip
    longest, nothing = max(map(len, new)), net.config.pad_token_id
    out = torch.tensor([ids + [nothing] * (longest - len(ids)) for ids in new])
    return out if net.config.is_encoder_decoder else torch.cat([asked["input_ids"], out], dim=1)


@pytest.fixture(params=augmenting.names())
def step(
    request: pytest.FixtureRequest, tmp_path: Path, tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch
) -> Augmentation:
    """Each step of the folder with its settings."""
    monkeypatch.setattr("tunesmith.steps.backtranslate.written", stuttered)
    monkeypatch.setattr("tunesmith.steps.paraphrase.written", stuttered)
    settings = {"name": request.param, "copies": 3} | WAYS[request.param]
    if request.param in ("synonyms", "eda"):
        settings["resource"] = str(augmenting.thesaurus(tmp_path))
    if request.param == "contextual":
        settings["base"] = str(tiny_bases["bert language"])
    if request.param == "backtranslate":
        settings |= {"there": str(tiny_bases["t5 language"]), "prefixes": ["", ""]}
    if request.param == "paraphrase":
        settings["base"] = str(tiny_bases["llama language"])
    made: Any = STEPS.find(request.param).model_validate(settings)
    return made


@pytest.fixture
def base(tiny_bases: TinyBases) -> Base:
    return Base(tiny_bases["bert"])


def test_the_rows_stay_and_the_ledger_adds_up(step: Augmentation, base: Base) -> None:
    ledger, out = augmenting.made(step, base=base)
    own, new = [r for r in out if MADE not in r.cells], [r for r in out if MADE in r.cells]
    assert [r.cells["text"] for r in own] == list(TEXTS) and [r.cells["label"] for r in own] == list(LABELS)
    assert new, "the step made nothing"
    left_out = sum(n for what, n in ledger.changes[step.name].items() if what.startswith("copies left out"))
    assert len(new) + left_out == 3 * len(TEXTS)
    assert ledger.changes[step.name]["rows added"] == len(new) == ledger.added()
    assert ledger.counts()["train"] == len(TEXTS) == sum(ledger.counts().values())
    column = ledger._arrow().to_pydict()
    assert column["made"] == [sum(r.id == i for r in new) for i in range(len(TEXTS))]
    assert {by for by, n in zip(column["made_by"], column["made"], strict=True) if n} == {step.name}


def test_labels_guarded_stretches_and_scripts_are_kept(step: Augmentation, base: Base) -> None:
    for seed in range(1 if step.base_settings else 4):
        for row in augmenting.made(step, seed, base=base)[1]:
            text = str(row.cells["text"])
            assert row.cells["label"] == LABELS[row.id] and row.cells.get(MADE, step.name) == step.name
            if MADE in row.cells:
                assert text.strip() and text != TEXTS[row.id]
            told = "negations" in step.guard
            for stretch in (s for s in KEPT.get(row.id, ()) if told or any(c.isdigit() for c in s)):
                assert stretch in text, (stretch, text)
            assert bool(HAN.search(text)) == bool(HAN.search(TEXTS[row.id]))


def test_a_row_gets_the_same_copies_whatever_stands_beside_it(step: Augmentation, base: Base) -> None:
    _, whole = augmenting.made(step, base=base)
    assert [r.cells for r in whole] == [r.cells for r in augmenting.made(step, base=base)[1]]
    assert [r.cells for r in whole] != [r.cells for r in augmenting.made(step, 1, base=base)[1]]
    ledger, records = augmenting.rows()
    few = augmenting.made(step, given=(ledger, [records[5], records[0]]), base=base)[1]
    for number in (0, 5):
        alone, among = ([r.cells for r in rows if r.id == number] for rows in (few, whole))
        assert alone == among


def test_tags_stay_on_their_words(step: Augmentation, base: Base) -> None:
    if step.whole:
        assert "no tag knows its word" in str(step.objection(augmenting.plan(step, task="tag")))
        return
    roles = Roles(("text",), "tags", words="words")
    ledger, records = augmenting.rows()
    spans = {0: "pump A-12", 1: "bearing", 4: "密封件", 5: "轴承"}
    for record in records:
        text = str(record.cells["text"])
        units = passage(text, (), tagged=([], [])).tail  # all of it
        assert units == text
        words = _words(text)
        at = text.find(spans.get(record.id, "\0"))
        inside = [at >= 0 and at <= a and b <= at + len(spans[record.id]) for a, b in words]
        tags = [("B-part" if not inside[i - 1] or i == 0 else "I-part") if on else "O" for i, on in enumerate(inside)]
        record.cells.update({"words": [x for w in words for x in w], "tags": tags})
    new = [r for r in augmenting.made(step, roles=roles, given=(ledger, records), base=base)[1] if MADE in r.cells]
    assert new
    for row in new:
        cells: Any = row.cells
        flat, tags, text = cells["words"], cells["tags"], cells["text"]
        assert len(flat) == 2 * len(tags) and flat == sorted(flat)
        assert all(text[a:b].strip() for a, b in zip(flat[::2], flat[1::2], strict=True))
        found = [(a, b) for a, b, tag in zip(flat[::2], flat[1::2], tags, strict=True) if tag != "O"]
        told = text[found[0][0] : found[-1][1]] if found else None
        assert told == spans.get(row.id)
        before: Any = records[row.id].cells["tags"]
        assert [t for t in tags if t != "O"] == [t for t in before if t != "O"]


def _words(text: str) -> list[tuple[int, int]]:
    from tunesmith.data.segment import words_in

    return words_in(text)


def test_only_rare_classes_and_shares_of_rows(step: Augmentation, base: Base) -> None:
    rare = step.model_copy(update={"below": 3})
    assert {r.cells["label"] for r in augmenting.made(rare, base=base)[1] if MADE in r.cells} <= {
        "heat", "bank", "food", "sport"}  # fmt: skip
    some = step.model_copy(update={"share": 0.5, "copies": 1})
    taken = [{r.id for r in augmenting.made(some, seed, base=base)[1] if MADE in r.cells} for seed in range(3)]
    assert len({frozenset(t) for t in taken}) > 1 and all(len(t) < len(TEXTS) for t in taken)


def test_what_was_made_is_not_made_more_of(step: Augmentation, base: Base) -> None:
    ledger, once = augmenting.made(step, base=base)
    twice = augmenting.made(step, given=(ledger, once), base=base)[1]
    assert len(twice) - len(once) == len(once) - len(TEXTS)


def test_refused_with_tasks_that_have_no_label_or_no_text(step: Augmentation) -> None:
    for task in ("generate", "masked", "prefer", "embed", "image", "audio"):
        assert "Take it out of steps" in str(step.objection(augmenting.plan(step, task=task)))
    assert step.objection(augmenting.plan(step)) is None
    assert "stands twice" in str(step.objection(augmenting.plan(step, step)))
    over = STEPS.find("balance").model_validate({"name": "balance", "how": "over"})
    assert "balance repeats rows" in str(step.objection(augmenting.plan(over, step)))
    assert step.objection(augmenting.plan(step, over)) is None
    rare = step.model_copy(update={"below": 5})
    assert "has no one class" in str(rare.objection(augmenting.plan(rare, task="multilabel")))


def test_guards_and_words_of_the_users_own() -> None:
    text = "The PLC of PUMP-7b said 3.5 bar at -20 °C, not 4x5 mm, to {name} in 二十三 天"
    closed = [u.text for u in passage(text, ("numbers", "codes", "negations"), ("said",)).units if not u.open]
    assert closed == ["PLC", "PUMP-7b", "said", "3.5 bar", "-20 °C", ",", "not", "4x5 mm", ",", "{name}", "二十三"]
    assert [u.text for u in passage("don't go", ()).units] == ["don't", "go"]
    for whole in (*TEXTS, text, "  a  b\n", "e\u0301t\u00e9 ok", "THE PUMP P01 LEAKS"):
        assert passage(whole, ("numbers", "codes", "negations")).text == whole
    upper = [u.text for u in passage("THE PUMP P01 LEAKS", ("codes",)).units if u.open]
    assert upper == ["THE", "PUMP", "LEAKS"]
    lexicon = passage("请更换密封件", (), (), None, {"更换", "密封"})
    assert [u.text for u in lexicon.units] == ["请", "更换", "密封", "件"]
    assert all(is_wide(u.text) for u in lexicon.units)
    assert ROLES.words is None


def test_held_out_rows_are_never_touched(tmp_path: Path, tiny_bases: TinyBases) -> None:
    import jobs
    from tunesmith.plan_text import make_plan
    from tunesmith.prepare import prepare

    data = jobs.write_tickets(tmp_path / "t.csv", 60)
    tree = jobs.tree(tiny_bases["bert"], data, tmp_path / "run")
    plain = prepare(make_plan(tree | {"steps": ["dedup"]}))
    more = prepare(make_plan(tree | {"steps": ["dedup", "eda", {"name": "noise", "copies": 2}, "mask"]}))
    for split in ("validation", "test"):
        assert [r.cells for r in more.splits[split]] == [r.cells for r in plain.splits[split]]
    own = [r for r in more.splits["train"] if MADE not in r.cells]
    assert [r.cells for r in own] == [r.cells for r in plain.splits["train"]]
    assert len(more.splits["train"]) == more.ledger.counts()["train"] + more.ledger.added()
    held = prepare(make_plan(tree | {"steps": ["dedup", "eda"]}), learn=False)
    assert [r.cells for r in held.splits["validation"]] == [r.cells for r in plain.splits["validation"]]

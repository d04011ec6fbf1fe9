"""What handbook code about data gets wrong (HANDBOOK, part 2): here it is right, or told."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

import jobs
import tiny
from tunesmith.data import Roles
from tunesmith.data.ledger import Ledger
from tunesmith.data.split import split
from tunesmith.errors import TunesmithError
from tunesmith.files import read_json
from tunesmith.plan_text import make_plan
from tunesmith.prepare import Prepared, prepare
from tunesmith.steps import STEPS
from tunesmith.tasks import _text


def prepared(path: Path, lines: list[str], **tree: Any) -> Prepared:
    path.write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    task = {"name": "classify", "text": "text", "label": "label"}
    return prepare(make_plan({"task": task, "base": "minilm", "data": {"train": str(path), "test": None}} | tree))


def rows(count: int, classes: int = 2) -> list[str]:
    return [f"text number {i},{'abcdef'[i % classes]}" for i in range(count)]


@pytest.mark.parametrize(
    "text", ("0.5 MPa -3.2°C", "泵A-12漏油,压力<0.3!", "±5 % @ 20 kΩ (R&D), 3 > 2", "a_b:c;d|e \"f\" 'g'")
)
def test_cleaning_leaves_units_signs_and_punctuation(text: str) -> None:
    """Deleting everything but word characters turns 0.5 MPa into 05 MPa and loses the minus."""
    assert STEPS.make("clean").tidy(text)[0] == text  # type: ignore[attr-defined]


def test_rows_that_cleaning_makes_equal_are_one_row(tmp_path: Path) -> None:
    """Looking for duplicates before cleaning leaves those that only debris keeps apart."""
    found = prepared(tmp_path / "t.csv", [*rows(30), "<b>text  number 0</b>,a", "text\u200b number 0,a"])
    assert found.ledger.counts()["duplicate"] == 2
    with pytest.raises(TunesmithError, match=r"dedup stands before clean.*Write clean before dedup"):
        prepared(tmp_path / "t.csv", rows(30), steps=["dedup", "clean"])


def test_an_empty_cell_in_an_unused_column_costs_no_row(tmp_path: Path) -> None:
    """Dropping rows with any empty cell throws good rows away for a column that nobody reads."""
    path = tmp_path / "t.csv"
    lines = [f"text number {i},{'ab'[i % 2]},{'' if i % 3 else 'x'}" for i in range(30)]
    path.write_text("\n".join(["text,label,remark", *lines]) + "\n", encoding="utf-8")
    found = prepare(make_plan({"task": "classify", "base": "minilm", "data": str(path)}))
    assert sum(map(len, found.splits.values())) == 30


@pytest.mark.parametrize("how", ("over", "under", "weights"))
def test_balancing_sees_the_training_rows_alone(how: str, tmp_path: Path) -> None:
    """Balancing before the split puts copies of one row on both sides, and changes what the test stands for."""
    lines = [f"text number {i},{'a' if i % 6 else 'b'}" for i in range(120)]
    plain = prepared(tmp_path / "t.csv", lines)
    steps = ["clean", "dedup", {"name": "balance", "how": how}]
    balanced = prepared(tmp_path / "t.csv", lines, steps=steps)
    held, train = balanced.splits["validation"], balanced.splits["train"]
    assert held == plain.splits["validation"], "held-out rows are those of real life"
    assert train != plain.splits["train"]
    texts = {r.cells["text"] for r in held}
    assert not texts & {r.cells["text"] for r in train}
    amount = Counter[str]()
    for r in train:
        amount[str(r.cells["label"])] += r.weight  # type: ignore[assignment]
    assert amount["a"] == pytest.approx(amount["b"])


def test_a_class_of_one_row_does_not_crash_the_split(tmp_path: Path) -> None:
    """Stratifying by scikit-learn raises when a class has one member."""
    found = prepared(tmp_path / "t.csv", [*rows(40), "the only one,rare"])
    assert [r.cells["label"] for r in found.splits["train"]].count("rare") == 1
    assert all(r.cells["label"] != "rare" for r in found.splits["validation"])


def test_every_class_of_three_or_more_rows_is_held_out_too() -> None:
    """A plain draw may leave a rare class out of validation altogether."""
    import small

    labels = ["a"] * 60 + ["b"] * 37 + ["c"] * 3
    records = small.records([f"t{i}" for i in range(100)], labels)
    for seed in range(10):
        parts = split(records, Roles(("text",), "label"), 0.1, 0.1, seed)
        assert all({r.cells["label"] for r in part} == {"a", "b", "c"} for part in parts.values())


def test_what_is_cut_off_is_told_row_by_row(tmp_path: Path, tiny_bases: Any) -> None:
    """A collator that truncates in silence hides that the model never saw the end of the text."""
    data = jobs.write_tickets(tmp_path / "t.csv", rows=45)
    plan = jobs.tree(tiny_bases["bert"], data, tmp_path / "run", epochs=1)
    plan["task"] |= {"max_tokens": 12}
    jobs.run_job(plan)
    about = read_json(tmp_path / "run" / "data.json")
    told = about["ledger"]["truncated"]
    tokenizer = AutoTokenizer.from_pretrained(tiny_bases["bert"])
    texts = [line.split(",")[0] for line in data.read_text(encoding="utf-8").splitlines()[1:]]
    lost = [len(tokenizer(t)["input_ids"]) - 12 for t in texts]
    assert (told["rows"], told["tokens_lost"]) == (sum(n > 0 for n in lost), sum(n for n in lost if n > 0))
    assert told["rows"] > 0 and about["tokens"]["max"] == 12


def test_chinese_is_not_split_on_spaces() -> None:
    """Splitting at spaces makes one word of a Chinese sentence, so that truncation and statistics mean nothing."""
    from tunesmith.bases.fit import fit

    assert fit(tiny.tokenizer("bert"), ["水泵漏油压力下降"]).pieces_per_word == pytest.approx(1, abs=0.2)
    ids, _, _ = _text.tokens(["水泵漏油压力下降"], None, tiny.tokenizer("bert"), 64)
    assert len(ids[0]) == 10, "eight characters between two special tokens"


def test_the_ledger_accounts_for_every_row(tmp_path: Path) -> None:
    """Pipelines that filter as they go cannot say how many rows were lost, and why."""
    lines = [*rows(40), "text number 0,a", "text number 1,a"]
    found = prepared(tmp_path / "t.csv", lines)
    counts = found.ledger.counts()
    assert sum(counts.values()) == 42 and counts["duplicate"] == 1 and counts["unplaced"] == 0
    assert counts["train"] == len(found.splits["train"]) and counts["validation"] == len(found.splits["validation"])
    assert isinstance(found.ledger, Ledger)


def test_no_text_stands_in_training_and_in_validation(tmp_path: Path) -> None:
    """Without looking, one text with two labels, or a given file that overlaps, makes results too good."""
    (tmp_path / "v.csv").write_text("text,label\nTEXT  number 3,b\nnew one here,a\n", encoding="utf-8")
    data = {"train": str(tmp_path / "t.csv"), "validation": str(tmp_path / "v.csv"), "test": None}
    found = prepared(tmp_path / "t.csv", rows(20), data=data)
    assert len(found.splits["validation"]) == 2 and len(found.splits["train"]) == 19
    assert any("1 row left train" in n for n in found.notes)
    with pytest.raises(TunesmithError, match="1 rows of validation stand in train, too"):
        prepared(tmp_path / "t.csv", rows(20), data=data | {"overlap": "refuse"})

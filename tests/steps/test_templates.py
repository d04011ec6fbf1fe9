"""The step `templates`: other frames around the last question, everything else as it was."""

import json
from pathlib import Path
from typing import Any

import pytest

import augmenting
from kit import TinyBases
from tunesmith.bases.load import load_tokenizer
from tunesmith.cli import main
from tunesmith.data.record import MADE
from tunesmith.dialogue.templates import find_template
from tunesmith.errors import TunesmithError
from tunesmith.plan_text import make_plan
from tunesmith.prepare import Prepared, prepare
from tunesmith.replies import REPLIES
from tunesmith.steps.templates import SHIPPED, SLOT, Templates, script_of
from tunesmith.tasks import Facts
from tunesmith.tasks._language import ANSWER, DIALOGUE, PROMPT, dialogue_in

ROWS = [
    {"instruction": "Name three rivers.", "input": "", "output": "Rhine, Nile, Amazon"},
    {"instruction": "Summarise {instruction} in a word", "input": "a long\ntext", "output": "long"},
    {"instruction": "写一首短诗", "input": "", "output": "床前明月光"},
    {"instruction": "用 Python 写一个求和的函数", "input": "", "output": "def f(x): return sum(x)"},
    {"instruction": "川を三つ挙げてください", "input": "", "output": "信濃川"},
] + [{"instruction": f"What is {i} plus {i}?", "input": "", "output": f"{i + i}"} for i in range(15)]
TURNS = [
    {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Who are you?"},
    {"role": "assistant", "content": "A clerk.", "weight": 0}, {"role": "user", "content": "Since when?"},
    {"role": "assistant", "content": "Since May."},
]  # fmt: skip


def prepared(folder: Path, *steps: Any, rows: Any = ROWS, **task: Any) -> Prepared:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return prepare(
        make_plan(
            {"task": {"name": "generate", **task}, "base": "unused", "data": str(path), "steps": ["dedup", *steps]}
        )
    )


def test_each_copy_has_a_frame_of_its_own_and_the_answer_of_its_row(tmp_path: Path) -> None:
    plain = prepared(tmp_path)
    found = prepared(tmp_path, {"name": "templates", "copies": 3})
    own = {r.id: r for r in found.splits["train"] if MADE not in r.cells}
    new = [r for r in found.splits["train"] if MADE in r.cells]
    assert [r.cells for r in own.values()] == [r.cells for r in plain.splits["train"]]
    for split in ("validation", "test"):
        assert [r.cells for r in found.splits[split]] == [r.cells for r in plain.splits[split]]
    for row in new:
        before, after = str(own[row.id].cells[PROMPT]), str(row.cells[PROMPT])
        frame = after.replace(before, SLOT, 1)
        assert frame in SHIPPED and row.cells[ANSWER] == own[row.id].cells[ANSWER]
        assert dialogue_in(row).messages[-1] == dialogue_in(own[row.id]).messages[-1]
        assert script_of(frame.replace(SLOT, "")) == script_of(before) and script_of(before) != "other"
    assert len({(r.id, r.cells[PROMPT]) for r in new}) == len(new)
    assert len({str(r.cells[PROMPT]).replace(str(own[r.id].cells[PROMPT]), SLOT, 1) for r in new}) > 5
    foreign = sum(script_of(str(r.cells[PROMPT])) == "other" for r in own.values())
    assert len(new) == 3 * (len(own) - foreign) == found.ledger.added()
    told = found.ledger.changes["templates"]
    assert told == {"rows added": len(new)} | (
        {"copies left out: no template in the script of the row": 3 * foreign} if foreign else {}
    )
    again = prepared(tmp_path, {"name": "templates", "copies": 3})
    assert [r.cells for r in again.splits["train"]] == [r.cells for r in found.splits["train"]]


def test_only_the_last_question_is_framed(tmp_path: Path) -> None:
    rows = [{"messages": [dict(TURNS[0], content=f"Be kind, {i}."), *TURNS[1:]]} for i in range(12)]
    for row in prepared(tmp_path, "templates", rows=rows).splits["train"]:
        dialogue = dialogue_in(row)
        assert [m.role for m in dialogue.messages] == [t["role"] for t in TURNS]
        assert [m.weight for m in dialogue.messages] == [1, 1, 0, 1, 1]
        for message, turn in list(zip(dialogue.messages, TURNS, strict=True))[1:]:
            framed = MADE in row.cells and turn["content"] == "Since when?"
            assert (message.content != turn["content"]) == framed and str(turn["content"]) in message.content


def test_what_is_learnt_is_the_answer_still(tmp_path: Path, tiny_bases: TinyBases) -> None:
    found = prepared(tmp_path, "templates", mapping=None)
    task: Any = found.plan.task
    tokenizer = load_tokenizer(make_plan(
        {"task": "generate", "base": str(tiny_bases["llama language"]), "data": "unused"}).base.found())  # fmt: skip
    facts = Facts(template=find_template("chatml", tokenizer))
    rows = found.splits["train"]
    encoded = task.encode(rows, task.roles(), tokenizer, facts)
    learnt: dict[int, list[list[int]]] = {}
    for place, row in enumerate(rows):
        labels = encoded.labels[place]
        learnt.setdefault(row.id, []).append(labels[labels != -100].tolist())
    pairs = [each for each in learnt.values() if len(each) == 2]
    assert len(pairs) > 10 and all(own == new and own for own, new in pairs)


def test_templates_of_the_users_own(tmp_path: Path) -> None:
    file = tmp_path / "frames.txt"
    file.write_text("Q: {instruction}\\nA:\n\n问：{instruction}\n", encoding="utf-8")
    step = Templates(templates=("{instruction} Answer briefly.", "{instruction} ..."), file=str(file), copies=4)
    assert step.known() == (
        "{instruction} Answer briefly.",
        "{instruction} ...",
        "Q: {instruction}\nA:",
        "问：{instruction}",
    )
    assert step.files() == (file,)
    found = prepared(tmp_path, step.model_dump())
    asked = {str(r.cells[PROMPT]) for r in found.splits["train"] if MADE in r.cells}
    assert any(a.startswith("Q: ") and a.endswith("\nA:") for a in asked) and any(a.startswith("问：") for a in asked)
    assert found.ledger.changes["templates"]["copies left out: no further template in the script of the row"]
    held = {r.cells[DIALOGUE] for split in ("validation", "test") for r in found.splits[split]}
    assert not any("briefly" in str(text) for text in held)
    file.write_text("fine {instruction}\nno slot\n", encoding="utf-8")
    with pytest.raises(TunesmithError, match=r"frames\.txt:2: 'no slot' has \{instruction\} 0 times"):
        step.known()
    for wrong, message in (
        ("none", "0 times"),
        ("{instruction} {instruction}", "2 times"),
        (" {instruction}", "changes nothing"),
    ):
        with pytest.raises(TunesmithError, match=message):
            make_plan({"task": "generate", "base": "b", "data": "d.csv",
                       "steps": [{"name": "templates", "templates": [wrong]}]})  # fmt: skip


def test_scripts() -> None:
    for text, script in (
        ("Translate 你好 into plain English", "latin"), ("用 Python 写", "han"), ("1 + 1 = ?", ""), ("Привет", "other"),
        ("ありがとう", "other"), ("감사합니다", "other"), ("où est-ce", "latin"),
    ):  # fmt: skip
        assert script_of(text) == script, text


def test_refused_where_rows_ask_nothing() -> None:
    step = Templates()
    for task in ("classify", "tag", "masked", "prefer", "embed", "image"):
        assert "ask nothing" in str(step.objection(augmenting.plan(step, task=task)))
    assert step.objection(augmenting.plan(step, task="generate")) is None
    assert "stands twice" in str(step.objection(augmenting.plan(step, step, task="generate")))


def test_plain_texts_are_left_alone(tmp_path: Path) -> None:
    rows = [{"text": f"The river {i} is long."} for i in range(12)]
    found = prepared(tmp_path, "templates", rows=rows, format="text")
    assert not found.ledger.added()
    assert found.ledger.changes["templates"] == {"copies left out: the row asks nothing": len(found.splits["train"])}


def test_preview(tmp_path: Path, capsys: Any) -> None:
    prepared(tmp_path)
    words = [
        "data",
        "preview",
        str(tmp_path / "rows.jsonl"),
        "task=generate",
        "steps=[dedup,templates]",
        "--pairs",
        "4",
    ]
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    reply = json.loads(capsys.readouterr().out)
    REPLIES["data preview"].model_validate(reply)
    assert len(reply["pairs"]) == 4
    for pair in reply["pairs"]:
        assert pair["before"] in pair["after"] and pair["label"] is None
    assert main(words) == 0
    assert "{+" in capsys.readouterr().out

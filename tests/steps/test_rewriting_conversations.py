"""Steps that rewrite, on conversations: every message of every format, and nothing else; the answer is still learnt."""

import json
from pathlib import Path
from typing import Any

import pytest

from kit import TinyBases
from tunesmith.bases.find import find
from tunesmith.bases.load import load_tokenizer
from tunesmith.data import Record
from tunesmith.data.ledger import Ledger
from tunesmith.data.table import read
from tunesmith.dialogue import Dialogue, Message
from tunesmith.dialogue.templates import find_template
from tunesmith.errors import TunesmithError
from tunesmith.plan_text import make_plan
from tunesmith.prepare import prepare, run_steps
from tunesmith.steps.pii import Pii
from tunesmith.tasks import Facts
from tunesmith.tasks._language import ANSWER, PROMPT, REFERENCES, dialogue_from, dialogue_in
from tunesmith.tasks._pairs import SECOND, both
from tunesmith.voices import Voice

A, B = "ann@plant.example", "bob@plant.example"
CALL = {"name": "write_to", "arguments": {"name": A, "text": f"see {B}"}}
TOOLS = [{"name": "write_to", "parameters": {"type": "object"}}]
FORMATS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "alpaca": (
        {"instruction": f"Who is {A}?", "input": B, "output": f"{A}, not {B}", "system": f"You are {B}.",
         "history": [[f"Hi {A}", "Hello"]]},
        ["You are [EMAIL_1].", "Hi [EMAIL_2]", "Hello", "Who is [EMAIL_2]?\n[EMAIL_1]", "[EMAIL_2], not [EMAIL_1]"],
    ),
    "messages": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": f"Who is {A}?"}]},
                      {"role": "assistant", "content": f"I am {B}"}]},
        ["Who is [EMAIL_1]?", "I am [EMAIL_2]"],
    ),
    "in a cell": (
        {"messages": json.dumps([{"role": "user", "content": A}, {"role": "assistant", "content": B}])},
        ["[EMAIL_1]", "[EMAIL_2]"],
    ),
    "calls": (
        {"conversations": [{"from": "human", "value": f"Write to {A}"},
                           {"from": "function_call", "value": json.dumps(CALL)},
                           {"from": "observation", "value": json.dumps({"sent": B})},
                           {"from": "gpt", "value": "Done."}], "tools": json.dumps(TOOLS)},
        ["Write to [EMAIL_1]", "", '{"sent": "[EMAIL_2]"}', "Done."],
    ),
    "text": ({"text": f"{A} wrote to {B}"}, ["[EMAIL_1] wrote to [EMAIL_2]"]),
}  # fmt: skip


def rewritten(folder: Path, row: Any, *steps: Any, **task: Any) -> tuple[list[Record], Ledger, Any]:
    """(two such rows after the steps of every row, the ledger, the task)."""
    path = folder / "rows.jsonl"
    path.write_text("\n".join([json.dumps(row)] * 2), encoding="utf-8")
    plan = make_plan({"task": {"name": "generate", **task}, "base": "unused", "data": str(path), "steps": list(steps)})
    table, ledger = read(path), Ledger()
    plan = plan.model_copy(update={"task": plan.task.resolved(table)})
    records = plan.task.taken_in(ledger.add(table), ledger)
    return list(run_steps(plan, "every_row", records, plan.task.roles(), ledger)), ledger, plan.task


@pytest.mark.parametrize("kind", list(FORMATS))
def test_every_message_is_masked_wherever_it_stands(tmp_path: Path, kind: str) -> None:
    row, said = FORMATS[kind]
    (record, _), ledger, _ = rewritten(tmp_path, row, "pii")
    dialogue = dialogue_in(record)
    assert [m.content for m in dialogue.messages] == said
    assert A not in json.dumps(record.cells) and B not in json.dumps(record.cells), "the cells of the file, too"
    assert str(record.cells[ANSWER]).count("EMAIL") == said[-1].count("EMAIL")
    assert record.cells[PROMPT] and ledger.changes["pii"]["rows"] == 2
    if kind == "calls":
        (call,) = dialogue.messages[1].calls
        assert (call.name, call.arguments) == ("write_to", {"name": "[EMAIL_1]", "text": "see [EMAIL_2]"})
        assert dialogue.tools[0]["function"] == TOOLS[0]
    (again, _), later, _ = rewritten(tmp_path, {k: v for k, v in record.cells.items() if k in row}, "pii")
    assert again.cells == record.cells and not later.changes.get("pii"), "once is enough"


def test_further_answers_are_masked(tmp_path: Path) -> None:
    row = {"question": f"Who is {A}?", "answer": [A, f"She, {A}"], "also": B}
    (record, _), _, _ = rewritten(tmp_path, row, "pii", references=["also"])
    assert record.cells[REFERENCES] == ["She, [EMAIL_1]", "[EMAIL_2]"]
    assert dialogue_in(record).answer() == "[EMAIL_1]"


@pytest.mark.parametrize("task", ["prefer", "reward"])
def test_both_answers_of_a_pair(tmp_path: Path, task: str) -> None:
    row = {"prompt": f"Who is {A}?", "chosen": f"{A}.", "rejected": f"{B}!"}
    (record, _), _, _ = rewritten(tmp_path, row, "pii", name=task)
    first, second = both(record)
    assert [first.answer(), second.answer()] == ["[EMAIL_1].", "[EMAIL_2]!"]
    assert first.messages[0] == second.messages[0] == Message("user", "Who is [EMAIL_1]?")
    assert "EMAIL_1" in str(record.cells[ANSWER]) and A not in str(record.cells)


def test_an_opinion_is_compared_with_a_masked_answer_of_another_row(tmp_path: Path) -> None:
    rows = [{"prompt": f"{i}?", "completion": f"ask {A}", "label": i % 2 == 0} for i in range(12)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    task = {"name": "prefer", "loss": "kto"}
    found = prepare(make_plan({"task": task, "base": "unused", "data": str(path), "steps": ["pii"]}))
    for record in found.splits["train"]:
        assert dialogue_from(str(record.cells[SECOND])).answer() == dialogue_in(record).answer() == "ask [EMAIL_1]"


CASES = [
    ({"name": "urls"}, "see https://a.example/x, then go", "see [URL], then go"),
    ({"name": "repair"}, "cafÃ© noir", "café noir"),
    ({"name": "chinese"}, "水泵漏油需要更換密封件", "水泵漏油需要更换密封件"),
    ({"name": "boilerplate", "lines": ["Sent from my phone"]}, "It slipped.\nSent from my phone", "It slipped."),
    (
        {"name": "clean", "markup": "keep", "whitespace": "keep"},
        "def f(x):\n    return x\u200b",
        "def f(x):\n    return x",
    ),
]


@pytest.mark.parametrize(("step", "before", "after"), CASES)
def test_question_and_answer_come_out_as_a_text_does(tmp_path: Path, step: Any, before: str, after: str) -> None:
    pytest.importorskip({"repair": "ftfy", "chinese": "opencc"}.get(step["name"], "numpy"))
    (record, _), _, _ = rewritten(tmp_path, {"prompt": before, "completion": before}, step)
    assert [m.content for m in dialogue_in(record).messages] == [after, after]


def test_what_is_learnt_is_the_masked_answer(tmp_path: Path, tiny_bases: TinyBases) -> None:
    """Labels stand where the answer of the conversation as it goes on stands, token by token."""
    tokenizer = load_tokenizer(find(str(tiny_bases["llama language"])))
    found, _, task = rewritten(tmp_path, FORMATS["alpaca"][0], "pii")
    plain, _, _ = rewritten(tmp_path, {
        "instruction": "Who is [EMAIL_2]?", "input": "[EMAIL_1]", "output": "[EMAIL_2], not [EMAIL_1]",
        "system": "You are [EMAIL_1].", "history": [["Hi [EMAIL_2]", "Hello"]],
    })  # fmt: skip
    facts = Facts(template=find_template("chatml", tokenizer, control=False))
    made, told = (task.encode(p[:1], task.roles(), tokenizer, facts) for p in (found, plain))
    assert made.ids.flat.tolist() == told.ids.flat.tolist()
    assert made.labels is not None and told.labels is not None
    assert made.labels.flat.tolist() == told.labels.flat.tolist() and (made.labels.flat >= 0).any()


def test_an_answer_that_is_gone_is_told_with_its_place(tmp_path: Path) -> None:
    step = {"name": "boilerplate", "lines": ["It slipped."]}
    with pytest.raises(TunesmithError, match=r"steps\.boilerplate: what it leaves .*rows\.jsonl:1: message 2 .*empty"):
        rewritten(tmp_path, {"prompt": "Why?", "completion": "It slipped."}, step)


def test_steps_that_spoil_messages_are_refused() -> None:
    for task in ("generate", "prefer", "reward"):
        with pytest.raises(TunesmithError, match="clean is no step for conversations: code and tables"):
            make_plan({"task": task, "base": "unused", "data": "rows.jsonl", "steps": ["clean"]})
    for step in ("pii", "urls", "repair", "chinese"):
        make_plan({"task": "generate", "base": "unused", "data": "rows.jsonl", "steps": [step]})


def test_a_chat_is_read_as_the_rows_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is typed is masked before the model reads it, the same value under the same number in every message."""
    seen: list[Any] = []

    class Laid:
        ids, lost = (1,), 0

    monkeypatch.setattr("tunesmith.voices.ask", lambda dialogue, *_: seen.append(dialogue) or Laid)

    class Model:
        class facts:
            template = "chatml"

        class plan:
            steps = (Pii(),)

        tokenizer = None

    asked = Dialogue((Message("user", A), Message("assistant", "yes"), Message("user", f"{B} {A}")))
    Voice("one", Model).tokens(asked, 9)  # type: ignore[arg-type]
    assert [m.content for m in seen[0].messages] == ["[EMAIL_1]", "yes", "[EMAIL_2] [EMAIL_1]"]

"""Files in every spelling become the same conversations, or are refused with their place."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.record import Record
from tunesmith.data.table import Table, read
from tunesmith.dialogue import Call, Dialogue, Message
from tunesmith.dialogue.formats import Columns, detect, dialogue_of, from_dataset_info, opinion_of, preference_of
from tunesmith.errors import TunesmithError

QUESTION, ANSWER = Message("user", "Hi"), Message("assistant", "Hello")
PLAIN = Dialogue((QUESTION, ANSWER))
WITH_SYSTEM = Dialogue((Message("system", "Be brief"), QUESTION, ANSWER))
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
SHARE = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
TOOL = {"name": "look", "parameters": {"type": "object"}}


def record(cells: dict[str, Any], line: int = 7) -> Record:
    return Record(0, "f.json", 3, line, cells)


def found(cells: dict[str, Any]) -> Columns:
    return detect(list(cells), [cells], "f.json")


def columns_of(table: Table) -> Columns:
    return detect(table.columns, [cells for _, cells in table.rows[:200]], table.source)


@pytest.mark.parametrize(
    ("cells", "kind", "wanted"),
    (
        ({"instruction": "Hi", "input": "", "output": "Hello"}, "alpaca", PLAIN),
        ({"instruction": "Hi", "output": "Hello", "system": "Be brief"}, "alpaca", WITH_SYSTEM),
        ({"instruction": "Hi", "output": "Hello", "system": ""}, "alpaca", PLAIN),
        ({"instruction": "", "input": "Hi", "output": "Hello"}, "alpaca", PLAIN),
        ({"prompt": "Hi", "completion": "Hello"}, "alpaca", PLAIN),
        ({"question": "Hi", "answer": "Hello", "id": "4"}, "alpaca", PLAIN),
        ({"input": "Hi", "output": "Hello"}, "alpaca", PLAIN),
        ({"问题": "Hi", "答案": "Hello"}, "alpaca", PLAIN),
        ({"conversations": SHARE}, "sharegpt", PLAIN),
        ({"conversations": SHARE, "system": "Be brief"}, "sharegpt", WITH_SYSTEM),
        ({"conversations": [{"from": "system", "value": "Be brief"}, *SHARE]}, "sharegpt", WITH_SYSTEM),
        ({"messages": CHAT}, "messages", PLAIN),
        ({"messages": json.dumps(CHAT)}, "messages", PLAIN),  # a cell of CSV
        ({"messages": [{"role": "developer", "content": "Be brief"}, *CHAT]}, "messages", WITH_SYSTEM),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, CHAT[1]]}, "messages", PLAIN),
        ({"text": "Hello"}, "text", Dialogue((ANSWER,), plain=True)),
    ),
)  # fmt: skip
def test_every_spelling_is_found_and_read(cells: dict[str, Any], kind: str, wanted: Dialogue) -> None:
    columns = found(cells)
    assert columns.kind == kind
    assert dialogue_of(record(cells), columns) == wanted


def test_instruction_input_and_history() -> None:
    cells = {"instruction": "Sum up", "input": "a text", "output": "ok", "history": [["a", "b"], ["c", "d"]]}
    said = dialogue_of(record(cells), found(cells)).messages
    assert [(m.role[0], m.content) for m in said] == [
        ("u", "a"), ("a", "b"), ("u", "c"), ("a", "d"), ("u", "Sum up\na text"), ("a", "ok"),
    ]  # fmt: skip
    as_text = cells | {"history": json.dumps(cells["history"])}
    assert dialogue_of(record(as_text), found(as_text)).messages == said


def test_turns_of_a_question_and_its_answer() -> None:
    """As Firefly has them."""
    turns = [{"human": "Hi", "assistant": "Hello"}, {"human": "And?", "assistant": "Bye"}]
    cells = {"conversation_id": 1, "category": "chat", "conversation": turns, "dataset": "mine"}
    said = dialogue_of(record(cells), found(cells)).messages
    assert [(m.role, m.content) for m in said] == [
        ("user", "Hi"), ("assistant", "Hello"), ("user", "And?"), ("assistant", "Bye"),
    ]  # fmt: skip
    with pytest.raises(TunesmithError, match="have the keys 'human', 'assistant', 'note'; known are"):
        found(cells | {"conversation": [turns[0] | {"note": "x"}]})


def test_tools_in_both_spellings() -> None:
    share = {
        "conversations": [
            SHARE[0], {"from": "function_call", "value": '{"name": "look", "arguments": {"at": 1}}'},
            {"from": "observation", "value": "[1]"}, SHARE[1],
        ],
        "tools": json.dumps([TOOL]),
    }  # fmt: skip
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
    openai = {
        "messages": [
            CHAT[0], {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "[1]", "tool_call_id": "c1"}, CHAT[1],
        ],
        "tools": [{"type": "function", "function": TOOL}],
    }  # fmt: skip
    first, second = dialogue_of(record(share), found(share)), dialogue_of(record(openai), found(openai))
    assert first.tools == second.tools == ({"type": "function", "function": TOOL},)
    assert first.messages[1] == Message("assistant", "", (Call("look", {"at": 1}),))
    assert second.messages[1] == Message("assistant", "", (Call("look", {"at": 1}, "c1"),))
    assert first.messages[2] == Message("tool", "[1]")
    assert second.messages[2] == Message("tool", "[1]", call_id="c1")


def test_weights_of_messages() -> None:
    cells = {"messages": [CHAT[0], CHAT[1] | {"weight": 0}, CHAT[0], CHAT[1] | {"weight": 1}]}
    assert [m.weight for m in dialogue_of(record(cells), found(cells)).messages] == [1, 0, 1, 1]


def test_rows_to_predict_need_no_answer() -> None:
    columns = Columns(kind="alpaca", prompt="q", response="a")
    assert dialogue_of(record({"q": "Hi"}), columns, answered=False).messages == (QUESTION,)
    with pytest.raises(TunesmithError, match="no column named 'a'"):
        dialogue_of(record({"q": "Hi"}), columns)
    chat = Columns(kind="messages", messages="messages", role_tag="role", content_tag="content", user_tag="user")
    assert dialogue_of(record({"messages": CHAT[:1]}), chat, answered=False).messages == (QUESTION,)


@pytest.mark.parametrize(
    ("cells", "words"),
    (
        ({"messages": [{"role": "wizard", "content": "x"}, CHAT[1]]}, "1 is of 'wizard'. Known speakers: .*'user'"),
        ({"messages": CHAT[:1]}, "ends with the user. The answer is missing"),
        ({"messages": CHAT[1:]}, "begins with the assistant. Put the question before it"),
        ({"messages": []}, "the conversation is empty"),
        ({"messages": "Hi"}, "is not a list of messages: 'Hi'"),
        ({"messages": [CHAT[0], {"role": "assistant", "content": ""}]}, r"message 2 \(assistant\) is empty"),
        ({"messages": [CHAT[0], {"role": "assistant"}]}, "message 2 has no text in 'content'"),
        ({"messages": ["Hi"]}, "message 1 is not an object with 'role'"),
        ({"messages": [CHAT[0], CHAT[1] | {"weight": -1}]}, "message 2 has the weight '-1'"),
        ({"messages": [CHAT[0], CHAT[1] | {"tool_calls": [{"x": 1}]}]}, "message 2 calls a tool in a way"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, CHAT[1]]}, "pictures and sound are"),
    ),
)  # fmt: skip
def test_what_is_wrong_with_a_row_is_told_with_its_place(cells: dict[str, Any], words: str) -> None:
    with pytest.raises(TunesmithError, match=rf"^f\.json:7: .*{words}"):
        dialogue_of(record(cells), found({"messages": CHAT}))


def test_alpaca_rows_are_checked() -> None:
    columns = found({"instruction": "Hi", "output": "x"})
    for cells, words in (
        ({"instruction": "", "output": "x"}, "'instruction' is empty"),
        ({"instruction": "Hi", "output": " "}, "is empty"),
        ({"instruction": "Hi", "output": None}, "'output' is not a text"),
    ):
        with pytest.raises(TunesmithError, match=words):
            dialogue_of(record(cells), columns)
    with pytest.raises(TunesmithError, match=r"^f\.json: row 3: "):
        dialogue_of(record({"instruction": "", "output": "x"}, line=0), columns)


@pytest.mark.parametrize(
    ("cells", "words"),
    (
        ({"a": "x", "b": "y"}, "cannot tell which columns hold"),
        ({"question": "x", "output": "y", "answer": "z"}, "several columns could be the response: 'output', 'answer'"),
        ({"prompt": "x", "chosen": "y"}, "of 'chosen' and 'rejected' only one is there"),
        ({"messages": [{"speaker": "a", "said": "b"}]}, "have the keys 'speaker', 'said'"),
        ({"messages": CHAT, "images": ["a.jpg"]}, "holds pictures or sound"),
    ),
)
def test_doubt_is_refused_with_what_is_known(cells: dict[str, Any], words: str) -> None:
    with pytest.raises(TunesmithError, match=words):
        found(cells)


@pytest.mark.parametrize(
    "cells",
    (
        {"prompt": "Hi", "chosen": "Hello", "rejected": "No"},
        {"conversations": SHARE[:1], "chosen": SHARE[1], "rejected": {"from": "gpt", "value": "No"}},
        {"prompt": "Hi", "chosen": CHAT, "rejected": [CHAT[0], {"role": "assistant", "content": "No"}]},
        {"prompt": CHAT[:1], "chosen": CHAT[1:], "rejected": [{"role": "assistant", "content": "No"}]},
        {"chosen": CHAT, "rejected": [CHAT[0], {"role": "assistant", "content": "No"}]},
        {"chosen": json.dumps(CHAT), "rejected": json.dumps([CHAT[0], {"role": "assistant", "content": "No"}])},
    ),
)
def test_pairs_share_their_beginning(cells: dict[str, Any]) -> None:
    columns = found(cells)
    chosen, rejected = preference_of(record(cells), columns)
    assert (chosen, rejected) == (PLAIN, Dialogue((QUESTION, Message("assistant", "No"))))
    with pytest.raises(TunesmithError, match="holds pairs of answers"):
        dialogue_of(record(cells), columns)


def test_pairs_that_do_not_fit_are_refused() -> None:
    other = [{"role": "user", "content": "Ho"}, CHAT[1]]
    cells = {"chosen": CHAT, "rejected": other}
    with pytest.raises(TunesmithError, match="begin in different ways"):
        preference_of(record(cells), found(cells))
    with pytest.raises(TunesmithError, match="no pairs"):
        preference_of(record({"prompt": "Hi"}), found({"prompt": "Hi", "response": "x"}))


@pytest.mark.parametrize(("cell", "wanted"), ((True, True), ("false", False), ("1", True), (0, False)))
def test_opinions(cell: Any, wanted: bool) -> None:
    cells = {"messages": CHAT, "label": cell}
    assert opinion_of(record(cells), found(cells)) == (PLAIN, wanted)
    with pytest.raises(TunesmithError, match="neither true nor false: 'maybe'"):
        opinion_of(record(cells | {"label": "maybe"}), found(cells))
    with pytest.raises(TunesmithError, match="says whether an answer is wanted"):
        opinion_of(record(cells), found({"messages": CHAT}))


ZOO = {
    "alpaca_en_demo.json": ("alpaca", 999), "alpaca_zh_demo.json": ("alpaca", 1000), "identity.json": ("alpaca", 91),
    "glaive_toolcall_zh_demo.json": ("sharegpt", 300), "dpo_en_demo.json": ("pairs", 300),
    "dpo_zh_demo.json": ("pairs", 300), "c4_demo.jsonl": ("text", 300), "wiki_demo.txt": ("text", 30),
}  # fmt: skip


@pytest.mark.parametrize("file", ZOO)
def test_the_demo_data_of_llama_factory(real_data: Path, file: str) -> None:
    folder = real_data / "llamafactory_demo"
    if not folder.is_dir():
        pytest.skip("the demo data of LLaMA-Factory are not here")
    table = read(folder / file)
    columns = columns_of(table)
    named = from_dataset_info(folder / "dataset_info.json", Path(file).stem)
    assert named.model_copy(update={"file_name": ""}) == columns
    kind, count = ZOO[file]
    assert (columns.kind, named.file_name) == (kind, file)
    rows = [Record(i, file, i + 1, line, cells) for i, (line, cells) in enumerate(table.rows)]
    if kind == "pairs":
        pairs = [preference_of(row, columns) for row in rows]
        assert all(a.asked() == b.asked() and a.answer() and b.answer() for a, b in pairs)
    said = [
        d for row in rows for d in (preference_of(row, columns) if kind == "pairs" else [dialogue_of(row, columns)])
    ]
    assert len(said) == count * (2 if kind == "pairs" else 1)
    if file.startswith("glaive"):
        assert sum(len(m.calls) for d in said for m in d.messages) == 216
        assert sum(m.role == "tool" for d in said for m in d.messages) == 218
    if file == "identity.json":
        assert any("{{name}}" in d.answer() for d in said)


def test_pictures_are_refused(real_data: Path) -> None:
    table = read(real_data / "llamafactory_demo" / "mllm_demo.json")
    with pytest.raises(TunesmithError, match="pictures or sound"):
        columns_of(table)
    with pytest.raises(TunesmithError, match=r"mllm_demo\.columns: no key that is read named 'images'"):
        from_dataset_info(real_data / "llamafactory_demo" / "dataset_info.json", "mllm_demo")


def test_dataset_info_entries() -> None:
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    info: dict[str, Any] = {
        "kto": {
            "file_name": "k.json", "formatting": "sharegpt", "tags": tags,
            "columns": {"messages": "m", "kto_tag": "ok"},
        },
        "pairs": {"file_name": "p.json", "ranking": True, "columns": {"prompt": "q", "chosen": "c", "rejected": "r"}},
        "openai": {"file_name": "o.json", "formatting": "openai"},
        "hub": {"hf_hub_url": "a/b"},
        "subset": {"file_name": "s.json", "subset": "en"},
        "odd": {"file_name": "s.json", "formatting": "xml"},
        "typo": {"file_name": "s.json", "columns": {"promt": "q"}},
        "ranked": {"file_name": "s.json", "ranking": True},
    }  # fmt: skip
    kto = from_dataset_info(info, "kto")
    assert (kto.kind, kto.label) == ("messages", "ok")
    assert opinion_of(record({"m": CHAT, "ok": True}), kto) == (PLAIN, True)
    pairs = from_dataset_info(info, "pairs")
    assert preference_of(record({"q": "Hi", "c": "Hello", "r": "No"}), pairs)[0] == PLAIN
    assert dialogue_of(record({"messages": CHAT}), from_dataset_info(info, "openai")) == PLAIN
    for name, words in {
        "hub": "it lies on a hub", "subset": "no key that is read named 'subset'", "odd": "no formatting named 'xml'",
        "typo": "Did you mean 'prompt'", "ranked": "name the columns chosen and rejected", "ktoo": "Did you mean 'kto'",
    }.items():  # fmt: skip
        with pytest.raises(TunesmithError, match=words):
            from_dataset_info(info, name)
    with pytest.raises(TunesmithError, match="cannot be read as JSON"):
        from_dataset_info("nowhere.json", "x")


def test_the_same_conversation_from_four_file_formats(tmp_path: Path) -> None:
    import csv

    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"messages": CHAT, "tools": [TOOL]}] * 3
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(r) for r in rows), encoding="utf-8")
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["messages", "tools"], *([json.dumps(r["messages"]), json.dumps(r["tools"])] for r in rows)])
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    read_back = set()
    for name in ("a.json", "a.jsonl", "a.csv", "a.parquet"):
        table = read(tmp_path / name)
        columns = columns_of(table)
        for i, (line, cells) in enumerate(table.rows):
            said = dialogue_of(Record(i, name, i + 1, line, cells), columns)
            read_back.add((said.messages, json.dumps(said.tools)))
    assert len(read_back) == 1


def test_the_examples_of_the_docs_are_read() -> None:
    page = Path(__file__).parents[2] / "docs" / "conversations.md"
    blocks = re.findall(r"^```json\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    kinds = []
    for block in blocks:
        cells = json.JSONDecoder().raw_decode(block)[0]
        kinds.append(found(cells).kind)
        if kinds[-1] == "pairs":
            assert preference_of(record(cells), found(cells))[0].answer().startswith("Hello")
        else:
            assert dialogue_of(record(cells), found(cells)).answer()
    assert kinds == ["alpaca", "sharegpt", "messages", "pairs", "text"]

"""A row becomes a conversation, or an error with its place and what to do."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn, cast

from tunesmith.data.format import excerpt, find_column, listed
from tunesmith.data.record import Cell, Record
from tunesmith.dialogue import Call, Dialogue, Message, Role
from tunesmith.dialogue._columns import Columns
from tunesmith.errors import TunesmithError

_ALSO: dict[str, Role] = {"developer": "system", "tool": "tool", "function": "tool", "system": "system"}
"""Speakers understood beside the tags of a file."""


PICTURE = "<image>"
"""How texts of a row say where its picture stands, in LLaVA's and LLaMA-Factory's files. Before the first question
there is no need to say it."""


def dialogue_of(record: Record, columns: Columns, *, answered: bool = True, seen: bool = False) -> Dialogue:
    """The conversation of a row. `answered=False`: the answer may be missing, for rows to predict on. `seen`: about an
    image, which is a question of its own: there need be no words.

    Raises TunesmithError with file:line, what stands there and what to write.
    """
    row = _Row(record, columns, seen=seen)
    if columns.kind == "pairs":
        row.refuse("the file holds pairs of answers (chosen, rejected)", "Learn from them with preferences, not this")
    if columns.kind == "text":
        return Dialogue((Message("assistant", row.text(columns.prompt) or row.empty(columns.prompt)),), plain=True)
    asked = row.beginning()
    if columns.response and (answered or row.has(columns.response)):
        asked += [Message("assistant", row.answers(columns.response)[0])]
    return row.whole(asked, answered)


def references_of(record: Record, columns: Columns, more: Sequence[str] = ()) -> tuple[str, ...]:
    """Right answers beside the one that `dialogue_of` learns: the others of a list in the answer's cell, then those of
    further columns, of which empty cells count nothing."""
    row = _Row(record, columns)
    found = row.answers(columns.response)[1:] if columns.response else []
    return (*found, *(text for column in more if row.has(column) for text in row.answers(column)))


def preference_of(record: Record, columns: Columns) -> tuple[Dialogue, Dialogue]:
    """(chosen, rejected): two conversations that differ in what follows the question only."""
    row = _Row(record, columns)
    if not (columns.chosen and columns.rejected):
        row.refuse("the file has no pairs of answers", "Name the columns chosen and rejected")
    beginning = row.beginning()
    good, bad = row.completion(columns.chosen), row.completion(columns.rejected)
    if good[0].role != "assistant" and bad[0].role != "assistant":  # both repeat the question
        asked = good[:-1] if good[:-1] == bad[:-1] else row.refuse("chosen and rejected begin in different ways", _SAME)
        if columns.messages and beginning != asked:
            row.refuse("chosen and rejected repeat another question than the messages", _SAME)
        system = beginning[:1] if beginning and beginning[0].role == "system" and asked[0].role != "system" else []
        beginning, good, bad = [*system, *asked], good[-1:], bad[-1:]
    return row.whole(beginning + good, True), row.whole(beginning + bad, True)


_SAME = "Write the question once, and only the answers into chosen and rejected"


def opinion_of(record: Record, columns: Columns) -> tuple[Dialogue, bool]:
    """A conversation and whether its answer is wanted (KTO)."""
    row = _Row(record, columns)
    if not columns.label:
        row.refuse("the file has no column that says whether an answer is wanted", "Add one with true and false")
    cell = row.cell(columns.label)
    value = {"true": True, "1": True, "false": False, "0": False}.get(str(cell).strip().casefold())
    if value is None:
        row.refuse(
            f"column '{excerpt(columns.label)}' is neither true nor false: '{_shown(cell)}'", "Write one of them"
        )
    return dialogue_of(record, columns), value


class _Row:
    """A record with the names of its columns; every error says where."""

    def __init__(self, record: Record, columns: Columns, *, seen: bool = False) -> None:
        self.record, self.columns, self.seen = record, columns, seen
        self.place = record.place

    def refuse(self, what: str, remedy: str) -> NoReturn:
        raise TunesmithError(f"{self.place}: {what}. {remedy}")

    def empty(self, column: str) -> NoReturn:
        self.refuse(f"column '{excerpt(column)}' is empty", "Fill it, or leave the row out")

    def cell(self, column: str) -> Cell:
        if column not in self.record.cells:
            find_column(column, list(self.record.cells), self.place)
        return self.record.cells[column]

    def has(self, column: str) -> bool:
        """Whether there is something in that column; false where no such column is."""
        return bool(column) and self.record.cells.get(column) not in (None, "")

    def text(self, column: str) -> str:
        value = self.cell(column)
        if not isinstance(value, str):
            self.refuse(f"column '{excerpt(column)}' is not a text: '{_shown(value)}'", "Write a string")
        return value

    def answers(self, column: str) -> list[str]:
        """The text of a cell, or the texts of a list in it: right answers, one as good as the other."""
        value = self.cell(column)
        if not isinstance(value, list):
            return [self.text(column)]
        texts = [text for text in value if isinstance(text, str) and text]
        if not texts or len(texts) < len(value):
            self.refuse(f"column '{excerpt(column)}' is a list of more than texts: '{_shown(value)}'",
                        "Write one or several right answers, each a string that is not empty")  # fmt: skip
        return texts

    # the parts of a conversation

    def beginning(self) -> list[Message]:
        """System text, history and question, or the messages of the row."""
        names = self.columns
        system = [Message("system", self.text(names.system))] if self.has(names.system) else []
        if names.messages:
            listed_ = self.messages(names.messages)
            if system and listed_ and listed_[0].role == "system":
                self.refuse("there is a system text in its column and another in the messages", "Keep one of them")
            return system + listed_
        if not names.prompt:
            return [*system, Message("user", "")] if self.seen else system
        asked = unpacked(self.cell(names.prompt))
        if isinstance(asked, list) and asked and all(isinstance(m, dict) for m in asked):  # TRL's conversational prompt
            return system + self.messages(names.prompt)
        parts = [self.text(names.prompt), self.text(names.query) if self.has(names.query) else ""]
        question = "\n".join(part for part in parts if part)
        if not question and not self.seen:
            self.empty(names.prompt)
        return [*system, *self.history(), Message("user", question)]

    def history(self) -> list[Message]:
        """Turns before the question."""
        if not self.has(self.columns.history):
            return []
        turns = unpacked(self.cell(self.columns.history))
        pairs = turns if isinstance(turns, list) else [turns]
        for pair in pairs:
            if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
                self.refuse(f"a turn of the history is not [question, answer]: '{_shown(pair)}'", "Write two texts")
        roles: tuple[Role, Role] = ("user", "assistant")
        return [Message(role, text) for pair in pairs for role, text in zip(roles, pair, strict=True)]

    def messages(self, column: str) -> list[Message]:
        cell = unpacked(self.cell(column))
        if not isinstance(cell, list):
            self.refuse(f"column '{excerpt(column)}' is not a list of messages: '{_shown(cell)}'", "Write [{…}, …]")
        return [self.message(item, number) for number, item in enumerate(cell, 1)]

    def completion(self, column: str) -> list[Message]:
        """An answer of a pair: a text, a message, or messages."""
        cell = unpacked(self.cell(column))
        if isinstance(cell, list) and cell:
            return self.messages(column)
        if isinstance(cell, dict):
            return [self.message(cell, 1)]
        return [Message("assistant", self.text(column) or self.empty(column))]

    def message(self, item: Any, number: int) -> Message:
        tags = self.columns
        if not isinstance(item, dict) or tags.role_tag not in item:
            self.refuse(
                f"message {number} is not an object with '{tags.role_tag}': '{_shown(item)}'",
                f'Write {{"{tags.role_tag}": …, "{tags.content_tag}": …}}',
            )
        speaker, content = str(item[tags.role_tag]), self.content(item, number)
        weight = item.get("weight")
        if weight is not None and (isinstance(weight, bool) or not _is_weight(weight)):
            self.refuse(f"message {number} has the weight '{_shown(weight)}'", "Write a number from 0 on")
        if speaker == tags.function_tag:
            calls = self.calls(content, number)
            return Message("assistant", "", calls, 1.0 if weight is None else float(weight))
        role = self.role(speaker, number)
        calls = self.calls(item.get("tool_calls") or [], number)
        of_tool = (str(item.get("name") or ""), str(item.get("tool_call_id") or "")) if role == "tool" else ("", "")
        return Message(role, content, calls, 1.0 if weight is None else float(weight), *of_tool)

    def role(self, speaker: str, number: int) -> Role:
        tags = self.columns
        known: dict[str, Role] = _ALSO | {
            tags.user_tag: "user", tags.assistant_tag: "assistant", tags.observation_tag: "tool",
            tags.system_tag: "system",
        }  # fmt: skip
        if speaker not in known:
            every = listed(sorted([*known, tags.function_tag]))
            self.refuse(f"message {number} is of '{excerpt(speaker)}'", f"Known speakers: {every}. Write one of them")
        return known[speaker]

    def content(self, item: Mapping[str, Any], number: int) -> str:
        """The text of a message: a string, or a list of text parts."""
        value = item.get(self.columns.content_tag)
        if value is None and item.get("tool_calls"):
            return ""
        known = ("text", "image") if self.seen else ("text",)
        if isinstance(value, list) and all(isinstance(p, dict) and p.get("type") in known for p in value):
            value = "".join(PICTURE if p["type"] == "image" else str(p.get("text", "")) for p in value)
        if not isinstance(value, str):
            self.refuse(
                f"message {number} has no text in '{self.columns.content_tag}': '{_shown(value)}'",
                "Write a string; pictures and sound are not read",
            )
        return value

    def calls(self, given: Any, number: int) -> tuple[Call, ...]:
        """Calls of tools: OpenAI's tool_calls, or {name, arguments}, or a list of them, perhaps as JSON text."""
        found = []
        listed_ = unpacked(given)
        for one in listed_ if isinstance(listed_, list) else [listed_]:
            inner = one.get("function", one) if isinstance(one, dict) else None
            arguments = unpacked(inner.get("arguments", {})) if isinstance(inner, dict) else None
            if not isinstance(inner, dict) or not isinstance(inner.get("name"), str) or isinstance(arguments, str):
                self.refuse(
                    f"message {number} calls a tool in a way that is not read: '{_shown(one)}'",
                    'Write {"name": …, "arguments": {…}} as JSON',
                )
            found.append(Call(inner["name"], arguments, str(one.get("id") or "")))
        return tuple(found)

    def tools(self) -> tuple[dict[str, Any], ...]:
        """The tools of the row, as functions."""
        if not self.has(self.columns.tools):
            return ()
        given = unpacked(self.cell(self.columns.tools))
        tools = given if isinstance(given, list) else [given]
        for tool in tools:
            if not isinstance(tool, dict) or not isinstance(tool.get("function", tool).get("name"), str):
                self.refuse(f"not a tool: '{_shown(tool)}'", 'Write [{"name": …, "parameters": {…}}] as JSON')
        return tuple(t if "function" in t else {"type": "function", "function": t} for t in tools)

    def whole(self, messages: list[Message], answered: bool) -> Dialogue:
        """The conversation, checked: system texts, a question, then anything; an answer at the end."""
        messages = self.sighted(messages) if self.seen else messages
        spoken = [m for m in messages if m.role != "system"]
        if not spoken:
            self.refuse("the conversation is empty", "Write a question and an answer")
        if spoken[0].role != "user":
            self.refuse(f"the conversation begins with the {spoken[0].role}", "Put the question before it")
        for number, message in enumerate(messages, 1):
            silent = not message.content.strip() and not message.calls
            if silent and (
                (message.role == "user" and not self.seen) or (message.role == "assistant" and message.weight)
            ):
                self.refuse(f"message {number} ({message.role}) is empty", "Fill it, or leave the row out")
        if answered and messages[-1].role != "assistant":
            self.refuse(f"the conversation ends with the {messages[-1].role}", "The answer is missing: add it")
        return Dialogue(tuple(messages), self.tools(), image=self.seen)

    def sighted(self, messages: list[Message]) -> list[Message]:
        """Without the mark of the one picture, which stands before or behind the words of the first question."""
        first = next((i for i, m in enumerate(messages) if m.role == "user"), None)
        if first is not None:
            said = messages[first].content.strip()
            if PICTURE in (said[: len(PICTURE)], said[-len(PICTURE) :]):
                messages = [*messages]
                messages[first] = replace(messages[first], content=said.replace(PICTURE, "", 1).strip())
        if any(PICTURE in m.content for m in messages):
            self.refuse(f"{PICTURE} stands more than once, or within or behind the first question",
                        "A row has one picture, which stands before its first question")  # fmt: skip
        return messages


def unpacked(cell: Any) -> Any:
    """A list or an object that stands as JSON in a text (cells of CSV have no others); everything else as it is. Turns
    of a question and its answer, [{human, assistant}, …] as Firefly has them, become two messages each."""
    if not isinstance(cell, str) or cell.lstrip()[:1] not in ("[", "{"):
        return _by_messages(cell)
    try:
        return _by_messages(cast("Any", json.loads(cell)))
    except (ValueError, RecursionError):
        return cell


def _by_messages(value: Any) -> Any:
    turns: list[Any] = value if isinstance(value, list) else []
    if not turns or not all(isinstance(turn, dict) and set(turn) == {"human", "assistant"} for turn in turns):
        return value
    spoken = (("human", "human"), ("gpt", "assistant"))
    return [{"from": who, "value": turn[role]} for turn in turns for who, role in spoken]


def _is_weight(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value >= 0


def _shown(value: Any) -> str:
    return excerpt(value if isinstance(value, str) else f"{value!r}"[:200])

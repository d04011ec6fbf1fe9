"""How a data file spells conversations: detected from names and cells, or read from a dataset_info.json.

Rows become conversations in `_reading.py`, whose functions stand here as well.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tunesmith.data.format import excerpt, listed
from tunesmith.data.names import plain
from tunesmith.data.record import Cell
from tunesmith.dialogue._columns import OPENAI_TAGS, Columns
from tunesmith.dialogue._reading import dialogue_of, opinion_of, preference_of, references_of, unpacked
from tunesmith.errors import TunesmithError, unknown

__all__ = ["Columns", "detect", "dialogue_of", "from_dataset_info", "opinion_of", "preference_of", "references_of"]

_NAMES = {
    "messages": "messages conversations conversation dialogue dialog chat 对话",
    "prompt": "instruction prompt question query user 指令 问题 提问",
    "query": "input context 输入",
    "response": "output response answer completion reply assistant target 输出 回答 答案 回复",
    "history": "history 历史",
    "system": "system system_prompt 系统 系统提示",
    "tools": "tools functions 工具",
    "chosen": "chosen",
    "rejected": "rejected",
    "label": "label kto_tag",
    "text": "text content document 文本 内容 正文",
}
_MEDIA = ("image", "images", "video", "videos", "audio", "audios")
_LOOKED_AT = 200


def detect(table_columns: Sequence[str], some_rows: Sequence[Mapping[str, Cell]], source: str) -> Columns:
    """How the rows spell conversations, from column names and the first 200 rows (cells by name).

    Raises TunesmithError with the candidates where nothing or several things could be meant.
    """
    rows = some_rows[:_LOOKED_AT]
    for column in table_columns:
        if plain(column) in _MEDIA and any(row.get(column) for row in rows):
            raise _doubt(
                source, f"the column '{excerpt(column)}' holds pictures or sound, which a language model does not read"
                f". With a base that sees, write task: {{name: generate, image: {excerpt(column)}}}",
                table_columns,
            )  # fmt: skip
    found = {role: _named(role, table_columns, source) for role in _NAMES}
    if not found["prompt"] and found["response"]:  # input/output: the input is the question
        found |= {"prompt": found["query"], "query": ""}
    if found["messages"] and not _lists(found["messages"], rows):
        found["messages"] = ""
    if found["label"] and not _are_opinions(found["label"], rows):
        found["label"] = ""
    text = found.pop("text")
    tags = _tags(found["messages"] or (found["chosen"] if found["rejected"] else ""), rows, source)
    beside: dict[str, Any] = {role: found[role] for role in ("system", "tools", "label")} | tags
    if bool(found["chosen"]) != bool(found["rejected"]):
        raise _doubt(source, "of 'chosen' and 'rejected' only one is there", table_columns)
    if found["chosen"]:
        asked = {"messages": found["messages"]} if found["messages"] else {k: found[k] for k in ("prompt", "query")}
        return Columns(kind="pairs", chosen=found["chosen"], rejected=found["rejected"], **asked, **beside)
    if found["messages"]:
        kind: Literal["sharegpt", "messages"] = "messages" if tags["role_tag"] == "role" else "sharegpt"
        return Columns(kind=kind, messages=found["messages"], **beside)
    if found["prompt"] and found["response"]:
        return Columns(kind="alpaca", **{k: found[k] for k in ("prompt", "query", "response", "history")}, **beside)
    if text and not found["prompt"] and not found["response"]:
        return Columns(kind="text", prompt=text)
    raise _doubt(source, "cannot tell which columns hold question and answer, messages, or a text", table_columns)


def _named(role: str, columns: Sequence[str], source: str) -> str:
    """The column of a usual name for a role; empty where there is none."""
    usual = _NAMES[role].split()
    named = [c for c in columns if plain(c) in usual]
    if len(named) > 1:
        raise _doubt(source, f"several columns could be the {role}: {listed(named)}", columns)
    return named[0] if named else ""


def _doubt(source: str, what: str, columns: Sequence[str]) -> TunesmithError:
    return TunesmithError(
        f"{source}: {what}. Columns: {listed(columns)}. Known are instruction (input) output; prompt and completion; "
        "question and answer; conversations or messages (a list); chosen and rejected; text. Rename them, read fewer "
        "(data.format.columns), or name them in the task"
    )


def _lists(column: str, rows: Sequence[Mapping[str, Cell]]) -> bool:
    return any(isinstance(unpacked(row.get(column)), list) for row in rows)


def _are_opinions(column: str, rows: Sequence[Mapping[str, Cell]]) -> bool:
    values = {str(row.get(column)).casefold() for row in rows}
    return bool(values) and values <= {"true", "false", "1", "0"}


def _tags(column: str, rows: Sequence[Mapping[str, Cell]], source: str) -> dict[str, str]:
    """Keys and speakers of the messages of a column; nothing where it holds texts."""
    cells = [unpacked(row.get(column)) for row in rows] if column else []
    parts = [c for cell in cells for c in (cell if isinstance(cell, list) else [cell])]
    seen = [part for part in parts if isinstance(part, dict)]
    if not seen:
        return {}
    for role, content in (("role", "content"), ("from", "value")):
        if all(role in part for part in seen):
            speakers = {str(part[role]) for part in seen}
            human = role == "from" and not speakers & {"user", "assistant"}
            kept = {} if human else OPENAI_TAGS
            return kept | {"role_tag": role, "content_tag": content}
    raise TunesmithError(
        f"{source}: messages in '{excerpt(column)}' have the keys {listed(map(str, seen[0]))}; known are role and "
        "content, or from and value. Name them in a dataset_info.json (tags: role_tag, content_tag)"
    )


_TAGS = ("role_tag", "content_tag", "user_tag", "assistant_tag", "observation_tag", "function_tag", "system_tag")
_PLACES = ("prompt", "query", "response", "history", "messages", "system", "tools", "chosen", "rejected", "kto_tag")
_ENTRY = ("file_name", "formatting", "columns", "tags", "ranking", "hf_hub_url", "ms_hub_url", "om_hub_url")
_FORMATTINGS = ("alpaca", "sharegpt", "openai")
_DEFAULTS = {
    "alpaca": {"prompt": "instruction", "query": "input", "response": "output"},
    "sharegpt": {"messages": "conversations"},
    "openai": {"messages": "messages"},
}


def from_dataset_info(path_or_dict: str | Path | Mapping[str, Any], name: str) -> Columns:
    """The columns of an entry of LLaMA-Factory's dataset_info.json.

    Where an entry names columns, those it does not name are not there, as LLaMA-Factory has it; `input` of alpaca data
    may be missing. Raises TunesmithError for what it asks and we do not do (hubs, pictures, subsets).
    """
    where, entries = _entries(path_or_dict)
    if name not in entries:
        raise TunesmithError(f"{where}: {unknown('data set', name, entries)}")
    entry, where = entries[name], f"{where}: {name}"
    _require_known(entry, _ENTRY, where)
    if "file_name" not in entry:
        raise TunesmithError(f"{where}: it lies on a hub. Download it and write file_name")
    formatting = entry.get("formatting", "alpaca")
    if formatting not in _FORMATTINGS:
        raise TunesmithError(f"{where}.formatting: {unknown('formatting', formatting, _FORMATTINGS)}")
    given, tags = entry.get("columns") or _DEFAULTS[formatting], entry.get("tags") or {}
    _require_known(given, _PLACES, f"{where}.columns")
    _require_known(tags, _TAGS, f"{where}.tags")
    places = {("label" if k == "kto_tag" else k): v for k, v in given.items()}
    if entry.get("ranking") and not {"chosen", "rejected"} <= places.keys():
        raise TunesmithError(f"{where}: ranking data name the columns chosen and rejected. Add them below columns")
    if formatting != "alpaca" and "messages" not in places:
        raise TunesmithError(f"{where}.columns: no column for messages. Add messages: COLUMN")
    spoken = (OPENAI_TAGS if formatting == "openai" else {}) | tags
    kind = _kind(formatting, places, bool(entry.get("ranking")), spoken)
    return Columns.model_validate({"kind": kind, "file_name": entry["file_name"]} | places | spoken)


def _kind(formatting: str, places: Mapping[str, str], ranking: bool, tags: Mapping[str, str]) -> str:
    if ranking:
        return "pairs"
    if formatting == "alpaca":
        return "alpaca" if "response" in places else "text"
    return "messages" if tags.get("role_tag") == "role" else "sharegpt"


def _entries(given: str | Path | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    if isinstance(given, Mapping):
        return "dataset_info", given
    try:
        entries = json.loads(Path(given).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TunesmithError(f"{given}: cannot be read as JSON: {error}. Repair the file") from error
    if not isinstance(entries, dict):
        raise TunesmithError(f"{given}: not an object of data sets by name. Write {{name: {{file_name: …}}}}")
    return str(given), entries


def _require_known(given: Any, known: Collection[str], where: str) -> None:
    if not isinstance(given, Mapping):
        raise TunesmithError(f"{where}: not an object but {type(given).__name__}. Write {{key: value}}")
    for key in given:
        if key not in known:
            raise TunesmithError(f"{where}: {unknown('key that is read', key, known)}. Remove it")

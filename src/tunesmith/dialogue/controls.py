"""Special tokens that stand in the texts of a row, such as <|im_end|> in a question, must not end a turn.

    <|im_start|>user\\n what does <|im_end|> mean? <|im_end|>       the second one is the template's, the first is text

A template writes both into one string. So a guard, a character of private use, is put behind the first character of
each special token in a message before the template sees it, and what stands on both sides of a guard is encoded apart:
no text of a row becomes a control token, and no letter of it is lost. `Template.control` lets them through.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any
from weakref import WeakKeyDictionary

from tunesmith.dialogue import Dialogue
from tunesmith.dialogue.templates import Template
from tunesmith.errors import TunesmithError

GUARD = "\U000ffffd"
_KNOWN: WeakKeyDictionary[Any, re.Pattern[str]] = WeakKeyDictionary()


def marks(tokenizer: Any) -> re.Pattern[str]:
    """What finds the special tokens of a tokenizer in a text. Tokens that were added as words (<think>) are none."""
    if tokenizer not in _KNOWN:
        added = {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
        names = sorted(added | set(tokenizer.all_special_tokens), key=len, reverse=True)
        _KNOWN[tokenizer] = re.compile("|".join(map(re.escape, names)) if names else r"(?!)")
    return _KNOWN[tokenizer]


def guarded(dialogue: Dialogue, template: Template, tokenizer: Any) -> Dialogue:
    """The conversation with a guard in each special token of its texts. Raises TunesmithError for one in a tool or in
    a call, which templates write in ways of their own."""
    if template.control:
        return dialogue
    find = marks(tokenizer)
    for what in (*dialogue.tools, *(asdict(call) for m in dialogue.messages for call in m.calls)):
        if found := find.search(json.dumps(what, ensure_ascii=False)):
            raise TunesmithError(
                f"the special token {found[0]} stands in a tool or in a call of one, where it would become a control "
                "token. Take it out, or set task.special_tokens: control where that is meant"
            )
    if any(GUARD in m.content for m in dialogue.messages):
        raise TunesmithError("the character U+FFFFD, of private use, stands in a text. Take it out")
    if not any(find.search(m.content) for m in dialogue.messages):
        return dialogue
    messages = (replace(m, content=find.sub(_with_guard, m.content)) for m in dialogue.messages)
    return replace(dialogue, messages=tuple(messages))


def guarded_text(text: str, template: Template, tokenizer: Any) -> str:
    """The same of one text."""
    assert GUARD not in text, "its conversation was guarded first"
    return text if template.control else marks(tokenizer).sub(_with_guard, text)


def apart(text: str, tokenizer: Any) -> str:
    """A text for an encoder, which reads no template: a space in each special token makes it text."""
    return marks(tokenizer).sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)


def _with_guard(found: re.Match[str]) -> str:
    return f"{found[0][0]}{GUARD}{found[0][1:]}"


def count_in(texts: Iterable[Iterable[Any]], tokenizer: Any) -> tuple[int, dict[str, int]]:
    """(rows with special tokens in any of their texts, rows by token, the most frequent first)."""
    find, rows, tokens = marks(tokenizer), 0, dict[str, int]()
    for row in texts:
        found = {token for text in row if text is not None for token in find.findall(str(text))}
        rows += bool(found)
        for token in found:
            tokens[token] = tokens.get(token, 0) + 1
    return rows, dict(sorted(tokens.items(), key=lambda each: (-each[1], each[0])))

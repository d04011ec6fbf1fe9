"""Which chat template a conversation is written with, and what it writes.

auto: the tokenizer's own; a tokenizer without one gets `plain` (question, line break, answer), which refuses whatever
is more than one question. A name: one of ours (`_builtin.py`). A file that ends in .jinja: that.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from tunesmith.dialogue import Dialogue, Message
from tunesmith.dialogue._builtin import BUILTIN
from tunesmith.dialogue.virtual import Virtual
from tunesmith.errors import TunesmithError, unknown

_LACKS = re.compile(r"'(\w+_token)' is undefined")
_IMAGE = re.compile(r"""['"]image['"]""")
_DAY_LETTERS = frozenset("%aAbBdjmpUwWyYFeBHMSIfzZcxX ,.:/-")


@dataclass(frozen=True)
class Template:
    """A chat template. Its text alone gives the same tokens in transformers (`tokenizer.chat_template = text`)."""

    name: str
    text: str
    """Jinja, as transformers reads it."""
    day: str = ""
    """The day (2026-11-21) that `strftime_now` tells, where the template asks: a run that goes on tomorrow must see
    the same tokens."""
    told: str = ""
    """Why this one, in a sentence."""
    control: bool = False
    """Whether special tokens that stand in the texts of a row act as such; else they are text (`controls`)."""
    virtual: Virtual | None = None
    """Virtual tokens that stand within what it writes."""

    @property
    def num_virtual(self) -> int:
        """How many of them; they come on top of `task.max_tokens`."""
        return 0 if self.virtual is None else self.virtual.count

    @property
    def parts(self) -> bool:
        """Whether it takes what a message says in parts, of which one may be an image."""
        return _IMAGE.search(self.text) is not None

    @property
    def digest(self) -> str:
        """sha256 over all that decides what is written."""
        return hashlib.sha256(f"{self.day}\n{self.text}{self.virtual or ''}".encode()).hexdigest()


class Span(NamedTuple):
    """A piece of a rendered conversation."""

    text: str
    message: int | None
    """Index of the assistant message whose answer this is, end of turn included; None = nobody learns it."""


def find_template(name: str, tokenizer: Any, *, control: bool = False) -> Template:
    """The template of that name for that tokenizer. Raises TunesmithError for an unknown name."""
    return replace(_named(name, tokenizer), control=control)


def _named(name: str, tokenizer: Any) -> Template:
    if name == "auto":
        return _own(tokenizer)
    if name in BUILTIN:
        return _builtin(name, tokenizer, "")
    if name.endswith(".jinja") and (path := Path(name)).is_file():
        return _dated(path.stem, path.read_text(encoding="utf-8"), f"read from {name}")
    several = tokenizer.chat_template
    if isinstance(several, dict) and name in several:
        return _dated(name, several[name], f"the tokenizer's template '{name}'")
    known = ["auto", *BUILTIN, *(several if isinstance(several, dict) else ())]
    raise TunesmithError(f"template: {unknown('template', name, known)}, or a file that ends in .jinja")


def _own(tokenizer: Any) -> Template:
    own = tokenizer.chat_template
    if isinstance(own, dict):
        if "default" not in own:
            raise TunesmithError(f"template: the tokenizer has several and no default. Name one: {', '.join(own)}")
        others = ", ".join(n for n in own if n != "default")
        return _dated(
            "default", own["default"], f"the tokenizer's default template; it also has {others or 'no other'}"
        )
    if own:
        return _dated("tokenizer", own, "the tokenizer's own template")
    if own_way := getattr(tokenizer, "usual_template", None):
        return _builtin(own_way, tokenizer, f"the tokenizer has no chat template: '{own_way}', as it was pretrained")
    return _builtin("plain", tokenizer, "the tokenizer has no chat template: question, line break, answer")


def _builtin(name: str, tokenizer: Any, told: str) -> Template:
    """One of ours. It writes the beginning token if the tokenizer would, since a rendered text is encoded as it is."""
    bos = getattr(tokenizer, "bos_token_id", None)
    begins = bos is not None and tokenizer("a")["input_ids"][:1] == [bos]
    entry = BUILTIN[name]
    known = tokenizer.get_vocab()
    strange = [mark for mark in entry.marks if mark not in known]
    notes = [told or f"the template '{name}' by name"]
    notes += [f"the tokenizer has no tokens {', '.join(strange)}: written as ordinary text"] * bool(strange)
    prelude = "{%- set begin = bos_token %}" if begins else "{%- set begin = '' %}"
    return Template(name, prelude + entry.text, "", "; ".join(notes))


def _dated(name: str, text: str, told: str) -> Template:
    day = date.today().isoformat() if "strftime_now" in text else ""
    return Template(name, text, day, told + f"; it is told the day {day}" * bool(day))


def render(template: Template, dialogue: Dialogue, tokenizer: Any, *, ask: bool) -> list[Span]:
    """The conversation as the template writes it, in pieces that add up to it.

    `ask`: without the last answer and with the words that begin one; a single piece. Raises TunesmithError where the
    template refuses the conversation, leaves a part of it out, goes beyond bounds, or where its answers cannot be told
    from the rest.
    """
    from tunesmith.dialogue import _spans

    written = writer(template, tokenizer)
    if ask:
        return [Span(_spans.prompt(written, dialogue.asked()), None)]
    found = _spans.found(written, template, dialogue, "answers")
    spans, at = [], 0
    for start, end, message in found.answers:
        spans += [Span(found.text[at:start], None)] * (start > at) + [Span(found.text[start:end], message)]
        at = end
    return spans + [Span(found.text[at:], None)] * (at < len(found.text))


def writer(template: Template, tokenizer: Any) -> "Writer":
    """What writes conversations in that template."""
    return Writer(template, dict(tokenizer.special_tokens_map), getattr(tokenizer, "placeholder", ""))


@dataclass(frozen=True)
class Writer:
    """A template with the special tokens of a tokenizer."""

    template: Template
    special_tokens: dict[str, Any]
    placeholder: str = ""
    """What stands for an image, with a tokenizer that belongs to a base that sees."""

    def __call__(self, dialogue: Dialogue, *, ask: bool = False, marks: tuple[str, str] | None = None) -> str:
        """The whole text. `ask`: with the words that begin an answer; `marks`: around what generation blocks write."""
        from jinja2 import TemplateError, TemplateSyntaxError
        from jinja2.exceptions import SecurityError

        from tunesmith.dialogue._paying import rendered

        place = f"template '{self.template.name}'"
        try:
            return rendered(
                self.template.text, self.special_tokens, marks, messages=self._messages(dialogue),
                tools=list(dialogue.tools) or None, documents=None, add_generation_prompt=ask,
                strftime_now=_clock(self.template.day),
            )  # fmt: skip
        except TemplateSyntaxError as error:
            raise TunesmithError(f"{place}, line {error.lineno}: {_said(error)}. Repair it, or name another") from error
        except SecurityError as error:
            raise TunesmithError(f"{place}: stopped: {_said(error)}. Name another template") from error
        except TemplateError as error:
            if lacks := _LACKS.search(str(error)):
                raise TunesmithError(
                    f"{place}: it writes the tokenizer's {lacks[1]}, and this tokenizer has none. Name one in the "
                    f'base\'s tokenizer_config.json ("{lacks[1]}": …), or take a template that ends its turns with a '
                    "token of the base"
                ) from error
            raise TunesmithError(
                f"{place}: it refuses this conversation: {_said(error)}. Change the rows (a system text may "
                "have no place, or roles must take turns), or name another template (chatml takes every role)"
            ) from error
        except Exception as error:  # a template is a program of strangers: whatever it raises is its own fault
            kind = type(error).__name__
            raise TunesmithError(f"{place}: it failed with {kind}: {_said(error)}. Name another template") from error

    def _messages(self, dialogue: Dialogue) -> list[dict[str, Any]]:
        """As templates expect them: for a base that sees in parts, or with the placeholder on a line of its own."""
        plain = [_plain(m) for m in dialogue.messages]
        if not self.placeholder:
            return plain
        first = next((m for m in plain if m["role"] == "user"), None) if dialogue.image else None
        if not self.template.parts:
            if first is not None:
                first["content"] = "\n".join(filter(None, (self.placeholder, first["content"])))
            return plain
        for message in plain:
            words = [{"type": "text", "text": message["content"]}] if message["content"] else []
            message["content"] = [{"type": "image"}] * (message is first) + words
        return plain


def _said(error: Exception) -> str:
    return (getattr(error, "message", None) or str(error))[:300].rstrip(".")


def _clock(day: str) -> Callable[[str], str]:
    def strftime_now(form: str) -> str:
        if len(form) > 64 or not set(form) <= _DAY_LETTERS:
            raise ValueError("a date is offered in at most 64 characters of the usual codes")
        return date.fromisoformat(day).strftime(form)

    return strftime_now


def _plain(message: Message) -> dict[str, Any]:
    """A message as templates expect it."""
    plain: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.calls:
        plain["tool_calls"] = [
            {"type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            | ({"id": c.id} if c.id else {})
            for c in message.calls
        ]
    plain |= {"name": message.name} if message.name else {}
    return plain | ({"tool_call_id": message.call_id} if message.call_id else {})

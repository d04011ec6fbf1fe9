"""Which characters of a rendered conversation are the assistant's: exactly, or refused.

With `{% generation %}` blocks: what they write. Without: an answer begins where the question before it ends (rendered
with the words that begin an answer) and ends where the conversation up to it ends (rendered without what follows). Both
must be beginnings of the whole text; a template that writes earlier turns anew when later ones follow is refused.
"""

import re
from dataclasses import replace
from typing import Literal, NamedTuple

from tunesmith.dialogue import Dialogue
from tunesmith.dialogue.templates import Template, Writer
from tunesmith.errors import TunesmithError

Learn = Literal["answers", "last", "all"]
_GENERATION = re.compile(r"\{%[-+]?\s*generation\b")
_FIRST_MARK, _LAST_MARK = 0xF0000, 0xF8FF0  # private use


class Found(NamedTuple):
    """A rendered conversation."""

    text: str
    answers: list[tuple[int, int, int]]
    """(start, end, index of the message) in characters, in order."""
    border: int
    """Where generation of the last answer starts: the text before is what serving renders."""


def prompt(write: Writer, asked: Dialogue) -> str:
    """What generation starts from."""
    text = write(asked, ask=True)
    _require_complete(write.template, asked, text)
    return text


def found(write: Writer, template: Template, dialogue: Dialogue, learn: Learn) -> Found:
    """The text, and the answers in it; `learn` = last looks for the last one only. Needs an answer at the end."""
    if not dialogue.answered:
        raise TunesmithError("the conversation ends without an answer, so nothing can be learnt. Add the answer")
    text = write(dialogue)
    _require_complete(template, dialogue, text)
    last = len(dialogue.messages) - 1
    border = len(_beginning(write, dialogue, last, text, ask=True))
    if _GENERATION.search(template.text):
        marked = _marked(write, dialogue, text)
        first = min((start for start, _, index in marked if index == last), default=border)
        if unlearnt := text[border:first].strip():
            raise TunesmithError(
                f"template '{template.name}': it writes '{unlearnt[:40]}' before the generation block of an answer, "
                "which a model would have to write and never learns. Move the block before it, or write it under "
                "{% if add_generation_prompt %}, too"
            )
        return Found(text, [a for a in marked if learn != "last" or a[2] == last], border)
    answers = [(border, len(text), last)]
    for index, message in enumerate(dialogue.messages[:-1] if learn == "answers" else ()):
        if message.role == "assistant":
            start = len(_beginning(write, dialogue, index, text, ask=True))
            end = len(_beginning(write, dialogue, index + 1, text, ask=False))
            answers.append((start, end, index))
    return Found(text, _in_order(sorted(answers), template), border)


def _in_order(answers: list[tuple[int, int, int]], template: Template) -> list[tuple[int, int, int]]:
    at = 0
    for start, end, index in answers:
        if not at <= start <= end:
            raise _moving(template, index + 1)
        at = end
    return answers


def _beginning(write: Writer, dialogue: Dialogue, count: int, text: str, *, ask: bool) -> str:
    """The first messages, rendered alone; they must be how the whole begins."""
    part = write(replace(dialogue, messages=dialogue.messages[:count]), ask=ask)
    if text.startswith(part):
        return part
    if ask and count == len(dialogue.messages) - 1:
        same = next((i for i, (a, b) in enumerate(zip(part, text, strict=False)) if a != b), min(len(part), len(text)))
        raise TunesmithError(
            f"template '{write.template.name}': before an answer is generated it writes '{part[same:][:40]}' where a "
            f"conversation with its answer has '{text[same:][:40]}', so training would not see what serving starts "
            "from. Name another template, or one with the same words in both places"
        )
    raise _moving(write.template, count)


def _moving(template: Template, number: int) -> TunesmithError:
    return TunesmithError(
        f"template '{template.name}': it writes message {number} in another way once later messages follow, so what "
        "the earlier answers saw cannot be told. Learn the last answer only (learn: last), name another template "
        "(chatml), or put {% generation %} blocks around answers in a copy of this one"
    )


def _marked(write: Writer, dialogue: Dialogue, text: str) -> list[tuple[int, int, int]]:
    """What generation blocks write, with the message that each belongs to."""
    pieces = _between_marks(write, dialogue, text)
    indices = [i for i, m in enumerate(dialogue.messages) if m.role == "assistant"]
    if len(pieces) != len(indices):  # several blocks a message, or blocks for some only: counted turn by turn
        counts = [_blocks(write, dialogue, i + 1) - _blocks(write, dialogue, i) for i in indices]
        if min(counts) < 0 or sum(counts) != len(pieces):
            raise TunesmithError(
                f"template '{write.template.name}': its generation blocks cannot be told apart by message "
                f"({len(pieces)} blocks for {len(indices)} answers). Put one block around each answer"
            )
        indices = [i for i, count in zip(indices, counts, strict=True) for _ in range(count)]
    return [(start, end, i) for (start, end), i in zip(pieces, indices, strict=True)]


def _blocks(write: Writer, dialogue: Dialogue, count: int) -> int:
    part = replace(dialogue, messages=dialogue.messages[:count])
    return len(_between_marks(write, part, write(part))) if count else 0


def _between_marks(write: Writer, dialogue: Dialogue, text: str) -> list[tuple[int, int]]:
    start = next(chr(c) for c in range(_FIRST_MARK, _LAST_MARK, 2) if chr(c) not in text and chr(c + 1) not in text)
    end = chr(ord(start) + 1)
    spans, plain, opened = list[tuple[int, int]](), "", -1
    for piece in re.split(f"([{start}{end}])", write(dialogue, marks=(start, end))):
        if piece == start:
            opened = len(plain)
        elif piece == end:
            spans.append((opened, len(plain)))
        else:
            plain += piece
    if plain != text:
        raise TunesmithError(
            f"template '{write.template.name}': it trims or changes what its generation blocks write. Do that inside "
            "the blocks"
        )
    return spans


def _require_complete(template: Template, dialogue: Dialogue, text: str) -> None:
    """Nothing that was said may be left out in silence; earlier answers may be (templates cut reasoning there)."""
    names = [("the tool", t.get("function", t).get("name")) for t in dialogue.tools]
    names += [("the tool call", call.name) for m in dialogue.messages for call in m.calls]
    names += [(f"the {m.role} message", m.content.strip()) for m in dialogue.messages if m.role in ("system", "user")]
    for what, said in names:
        if said and str(said) not in text:
            shown = str(said)[:40]
            raise TunesmithError(
                f"template '{template.name}': it leaves out {what} '{shown}'. Name a template with a place for it "
                "(chatml), or remove it from the rows"
            )

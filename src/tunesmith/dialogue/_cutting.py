"""Making a conversation fit: what goes first, and what stays.

1. Whole turns (a question and what answers it) go, the oldest first; the system text and the tools stay.
2. When one turn is left, its longest question or tool result loses its middle, again and again, down to a share of the
   room: instructions stand at the beginning or at the end, rarely between.
3. What is still too long is the caller's: an answer loses its end, and is then not taught to stop.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tunesmith.dialogue import Dialogue, Message

GAP = " ... "
"""Stands where text was cut out."""


def shortened(dialogue: Dialogue, size: Callable[[Dialogue], int], tokenizer: Any, limit: int, share: int) -> Dialogue:
    """The conversation made to fit `limit` by rules 1 and 2, as far as they reach. `size` counts tokens.

    `share`: a text of the last turn keeps 1 / share of the room beside system text, tools and marks; 0 = nothing.
    """
    head, turns = _turns(dialogue)

    def without(count: int) -> Dialogue:
        return replace(dialogue, messages=(*head, *(m for turn in turns[count:] for m in turn)))

    last = max(len(turns) - 1, 0)
    dropped = bisect_left(range(last), True, key=lambda count: size(without(count)) <= limit)
    kept = without(dropped)
    if dropped < last or size(kept) <= limit:
        return kept
    bare = replace(kept, messages=(*head, *(replace(m, content="") for m in kept.messages[len(head) :])))
    floor = max(limit - size(bare), 0) // share if share else 0
    return _thinned(kept, len(head), size, tokenizer, (limit, floor))


def _turns(dialogue: Dialogue) -> tuple[list[Message], list[list[Message]]]:
    """System messages at the beginning, and turns, each from a question to before the next."""
    head, turns = list[Message](), list[list[Message]]()
    for message in dialogue.messages:
        if not turns and message.role == "system":
            head.append(message)
        elif not turns or message.role == "user":
            turns.append([message])
        else:
            turns[-1].append(message)
    return head, turns


def _thinned(
    dialogue: Dialogue, first: int, size: Callable[[Dialogue], int], tokenizer: Any, bounds: tuple[int, int]
) -> Dialogue:
    """Cut the longest text that nobody learns until the rest fits, or nothing above the floor is left."""
    limit, floor = bounds
    over = size(dialogue) - limit
    while over > 0:
        lengths = {
            i: len(_offsets(m.content, tokenizer))
            for i, m in enumerate(dialogue.messages)
            if i >= first and m.role in ("user", "tool")
        }
        longest = max(lengths, key=lengths.__getitem__, default=None)
        if longest is None or lengths[longest] <= floor:
            return dialogue
        message = dialogue.messages[longest]
        shorter = _without_middle(message.content, max(lengths[longest] - over, floor), tokenizer)
        if len(shorter) >= len(message.content):
            return dialogue
        changed = replace(message, content=shorter)
        dialogue = replace(
            dialogue, messages=(*dialogue.messages[:longest], changed, *dialogue.messages[longest + 1 :])
        )
        over = size(dialogue) - limit
    return dialogue


def _without_middle(text: str, keep: int, tokenizer: Any) -> str:
    """About `keep` tokens of a text, half from its beginning, half from its end."""
    offsets = _offsets(text, tokenizer)
    room = max(keep - len(_offsets(GAP, tokenizer)), 0)
    front, back = (room + 1) // 2, room // 2
    head = text[: offsets[front - 1][1]] if front else ""
    return head + GAP * bool(room) + (text[offsets[-back][0] :] if back else "")


def _offsets(text: str, tokenizer: Any) -> list[tuple[int, int]]:
    from tunesmith.dialogue.laying import encoded

    return encoded(text, tokenizer).offsets

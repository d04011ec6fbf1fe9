"""Two answers to one question laid out as tokens: the question the same in both, also where it must be cut.

question  answer A  end                 lay() of each alone would cut the question of the longer answer more,
question  answer B  end                 and what is compared would be more than the answers
"""

from dataclasses import asdict, replace
from typing import Any

from tunesmith.dialogue import Dialogue, Message
from tunesmith.dialogue.laying import Laid, laid_out, supervised
from tunesmith.dialogue.templates import Template

_SHARE = 4
"""The last question keeps at least this part of the limit (1 / 4), as in `lay`."""


def lay_pair(
    first: Dialogue, second: Dialogue, template: Template, tokenizer: Any, limit: int
) -> tuple[Laid, Laid]:  # fmt: skip
    """Tokens of both conversations, at most `limit` each; learnt is what follows the messages that both share.

    Where the longer one is too long, the question of both is cut as that one needs it; an answer that is too long
    still loses its end. Raises TunesmithError where the template refuses a conversation.
    """
    count = shared(first, second)
    both = [_judged(dialogue, count) for dialogue in (first, second)]
    whole = [laid_out(dialogue, template, tokenizer, "answers") for dialogue in both]
    if max(len(laid.ids) for laid in whole) <= limit:
        return whole[0], whole[1]
    from tunesmith.dialogue._cutting import shortened

    def size(dialogue: Dialogue) -> int:
        return len(laid_out(dialogue, template, tokenizer, "answers").ids)

    longer = both[0] if len(whole[0].ids) >= len(whole[1].ids) else both[1]
    kept = shortened(longer, size, tokenizer, limit, _SHARE).messages
    asked = kept[: len(kept) - (len(longer.messages) - count)]
    parts = [laid_out(replace(d, messages=asked + d.messages[count:]), template, tokenizer, "answers") for d in both]
    cut = [_cut(part, full, limit) for part, full in zip(parts, whole, strict=True)]
    return cut[0], cut[1]


def shared(first: Dialogue, second: Dialogue) -> int:
    """How many messages both begin with; the last of each is never among them."""
    most = min(len(first.messages), len(second.messages)) - 1
    return next((i for i in range(most) if first.messages[i] != second.messages[i]), most)


def _judged(dialogue: Dialogue, count: int) -> Dialogue:
    """With every assistant message learnt from number `count` on, and none before."""
    weighed = [
        replace(m, weight=float(i >= count)) if m.role == "assistant" else m for i, m in enumerate(dialogue.messages)
    ]
    return replace(dialogue, messages=tuple(weighed))


def _cut(part: Laid, whole: Laid, limit: int) -> Laid:
    ids, labels = part.ids[:limit], part.labels[:limit]
    kept = supervised(labels)
    return Laid(ids, labels, part.weights[:limit], len(whole.ids) - len(ids), whole.supervised - kept, kept)


def said(dialogue: Dialogue, count: int) -> list[dict[str, Any]]:
    """The messages behind the first `count`, to be compared and shown."""
    return [asdict(message) for message in dialogue.messages[count:]]


def answering(dialogue: Dialogue, message: Message) -> Dialogue:
    """The question of a conversation with another answer."""
    return replace(dialogue, messages=(*dialogue.asked().messages, message))

"""Conversations laid out as tokens with labels: what is learnt is said token by token.

    <|im_start|> user \\n Hi <|im_end|> \\n <|im_start|> assistant \\n Hello <|im_end|> \\n
    -100 …                                                           Hello <|im_end|> \\n

The text before the last answer is encoded as serving encodes it, so the tokens that generation starts from are exactly
those that training saw before the answer. Cutting to a limit is in `_cutting.py`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from tunesmith.dialogue import Dialogue
from tunesmith.dialogue._spans import Found, Learn, found, prompt
from tunesmith.dialogue.controls import GUARD, guarded
from tunesmith.dialogue.templates import Template, writer
from tunesmith.errors import TunesmithError

IGNORED = -100
"""Label of a token that is read and not learnt; transformers' and torch's number."""


class Laid(NamedTuple):
    """A conversation as a model reads it; lists of one length T, beside each other (unshifted)."""

    ids: list[int]
    labels: list[int]
    """The id itself where it is learnt, IGNORED elsewhere."""
    weights: list[float]
    """Weight of each label in the loss: the message's where it is learnt, 0 elsewhere."""
    lost: int
    """Tokens cut to fit the limit."""
    lost_labels: int
    """Learnt tokens among them."""
    supervised: int
    """Tokens that a loss is computed for; the first of a row has nothing before it. 0 = nothing to learn: refuse."""


class Encoded(NamedTuple):
    """A text as tokens, and the characters that each stands for."""

    ids: list[int]
    offsets: list[tuple[int, int]]


def lay(dialogue: Dialogue, template: Template, tokenizer: Any, *, learn: Learn, limit: int) -> Laid:
    """Tokens and labels of a conversation, at most `limit` long, virtual tokens that stand within included.

    `learn`: answers = every assistant message with its end of turn; last = the last one; all = every token. What a tool
    calls is learnt, what it answers is not. Raises TunesmithError where the template refuses the conversation or what
    is learnt cannot be told exactly.
    """
    whole = laid_out(dialogue, template, tokenizer, learn)
    if len(whole.ids) <= limit:
        return whole
    from tunesmith.dialogue._cutting import shortened

    kept = dialogue
    if not dialogue.plain:
        kept = shortened(dialogue, lambda d: len(laid_out(d, template, tokenizer, "last").ids), tokenizer, limit, 4)
    part = laid_out(kept, template, tokenizer, learn)
    cut = Laid(part.ids[:limit], part.labels[:limit], part.weights[:limit], 0, 0, supervised(part.labels[:limit]))
    return cut._replace(lost=len(whole.ids) - len(cut.ids), lost_labels=whole.supervised - cut.supervised)


def question(dialogue: Dialogue, template: Template, tokenizer: Any, limit: int) -> list[int]:
    """Tokens that generation starts from, without the last answer if there is one; see `ask` for what was cut."""
    return ask(dialogue, template, tokenizer, limit).ids


def ask(dialogue: Dialogue, template: Template, tokenizer: Any, limit: int) -> Laid:
    """The same as `question`, with an account of what was cut. Raises TunesmithError where the rest is too long."""
    asked = dialogue.asked()
    ids = _asked(asked, template, tokenizer)
    size = len(ids)
    if size > limit:
        from tunesmith.dialogue._cutting import shortened

        asked = shortened(asked, lambda d: len(_asked(d, template, tokenizer)), tokenizer, limit, 0)
        ids = _asked(asked, template, tokenizer)
    if len(ids) > limit:
        raise TunesmithError(
            f"the question needs {len(ids)} tokens even without its text, and there is room for {limit}. Allow more "
            "tokens, or shorten the system text and the tools"
        )
    return _given(ids)._replace(lost=size - len(ids))


def _asked(dialogue: Dialogue, template: Template, tokenizer: Any) -> list[int]:
    if dialogue.plain:
        return _with_virtual(_given(_front(tokenizer)), (), 0, template, tokenizer).ids
    dialogue = guarded(dialogue, template, tokenizer)
    write = writer(template, tokenizer)
    text = prompt(write, dialogue)
    parts = encoded(text, tokenizer)
    border = template.virtual.border(write, dialogue, text, len(text)) if template.virtual else 0
    return _with_virtual(_given(parts.ids), parts.offsets, border, template, tokenizer).ids


def _given(ids: list[int]) -> Laid:
    """Tokens of which none is learnt."""
    return Laid(ids, [IGNORED] * len(ids), [0.0] * len(ids), 0, 0, 0)


def _with_virtual(
    laid: Laid, offsets: Sequence[tuple[int, int]], border: int, template: Template, tokenizer: Any
) -> Laid:
    """With the template's virtual tokens at the first token behind `border` characters, or behind the beginning."""
    virtual, begins = template.virtual, laid.ids[:1] == [getattr(tokenizer, "bos_token_id", None)]
    if virtual is None:
        return laid
    if virtual.place == "after_bos" and not begins:
        raise TunesmithError(
            "method.place: after_bos: conversations of this base begin with no such token, so that this is the very "
            "front. Set method.place: start"
        )
    at = max(int(begins), sum(first < border for first, _ in offsets))
    if early := supervised(laid.labels[:at]):
        raise TunesmithError(
            f"method.place: {virtual.place}: {early} tokens to be learnt stand before the virtual tokens, which cannot "
            "change them. Set task.learn: last, or method.place: after_system"
        )
    own = laid.labels if at else [IGNORED, *laid.labels[1:]]  # a row's first word is not learnt, wherever they stand
    labels = [*own[:at], *[IGNORED] * virtual.count, *own[at:]]
    weights = [*laid.weights[:at], *[0.0] * virtual.count, *laid.weights[at:]]
    return laid._replace(ids=virtual.put(laid.ids, at), labels=labels, weights=weights, supervised=supervised(labels))


def laid_out(dialogue: Dialogue, template: Template, tokenizer: Any, learn: Learn) -> Laid:
    """The whole conversation, of any length."""
    dialogue = guarded(dialogue, template, tokenizer)
    if dialogue.plain:
        ids = _plain(dialogue, tokenizer)
        whole = Laid(ids, list(ids), [1.0] * len(ids), 0, 0, supervised(ids))
        return _with_virtual(whole, (), 0, template, tokenizer)
    write = writer(template, tokenizer)
    text = found(write, template, dialogue, learn)
    parts = _joined(text, template, tokenizer)
    weights = [1.0 if learn == "all" else 0.0] * len(parts.ids)
    end = _end(text, parts, tokenizer)
    for start, stop, message in text.answers:
        _weigh(weights, parts, (start, stop), dialogue.messages[message].weight, end)
    if end is None:
        end = _eos(template, tokenizer)
        parts = Encoded([*parts.ids, end], [*parts.offsets, (len(text.text), len(text.text))])
        weights.append(dialogue.messages[-1].weight)
    labels = [token if weight else IGNORED for token, weight in zip(parts.ids, weights, strict=True)]
    border = template.virtual.border(write, dialogue, text.text, text.border) if template.virtual else 0
    laid = Laid(parts.ids, labels, weights, 0, 0, supervised(labels))
    return _with_virtual(laid, parts.offsets, border, template, tokenizer)


def supervised(labels: list[int]) -> int:
    """Labels that a loss is computed for."""
    return sum(label != IGNORED for label in labels[1:])


def encoded(text: str, tokenizer: Any) -> Encoded:
    """A text as it is: nothing added, nothing cut, no special token where a guard stands (`controls`)."""
    first, *others = text.split(GUARD)
    ids, offsets = _encoded(first, tokenizer)
    at = len(first) + 1
    for piece in others:
        part = _behind(piece, ids, tokenizer)
        ids, offsets = ids + part.ids, offsets + [(a + at, b + at) for a, b in part.offsets]
        at += len(piece) + 1
    return Encoded(ids, offsets)


def _behind(piece: str, before: list[int], tokenizer: Any) -> Encoded:
    """A text that goes on where others end: no tokenizer may put a space of its own there."""
    wanted = _decoded(tokenizer, before) + piece
    parts = [_without(lead, piece, tokenizer) for lead in _LEADS]
    return next((p for p in parts if p is not None and _decoded(tokenizer, before + p.ids) == wanted),
                _encoded(piece, tokenizer))  # fmt: skip


_LEADS = ("", "\n")
"""Behind a line break no tokenizer puts a space of its own before the first word."""


def _without(lead: str, text: str, tokenizer: Any) -> Encoded | None:
    """The text encoded behind a lead, which is taken off again; None where it cannot be."""
    known, part = encoded(lead, tokenizer).ids, encoded(lead + text, tokenizer)
    if part.ids[: len(known)] != known:
        return None
    offsets = [(a - len(lead), b - len(lead)) for a, b in part.offsets[len(known) :]]
    return Encoded(part.ids[len(known) :], offsets)


def _encoded(text: str, tokenizer: Any) -> Encoded:
    if not getattr(tokenizer, "is_fast", False):
        raise TunesmithError(
            f"the tokenizer {type(tokenizer).__name__} does not say which characters its tokens stand for, so what is "
            "learnt cannot be told. Use a base with a tokenizer.json"
        )
    out = tokenizer(
        text, add_special_tokens=False, padding=False, truncation=False, return_attention_mask=False,
        return_offsets_mapping=True, verbose=False,
    )  # fmt: skip
    return Encoded(out["input_ids"], out["offset_mapping"])


def _joined(text: Found, template: Template, tokenizer: Any) -> Encoded:
    """Tokens of the whole text that begin with the tokens of the question as serving encodes it."""
    whole, front = encoded(text.text, tokenizer), encoded(text.text[: text.border], tokenizer)
    if whole.ids[: len(front.ids)] == front.ids:
        return whole
    wanted = _decoded(tokenizer, whole.ids)
    for lead in _LEADS:
        rest = _without(lead, text.text[text.border :], tokenizer)
        if rest is not None and _decoded(tokenizer, front.ids + rest.ids) == wanted:
            offsets = [(a + text.border, b + text.border) for a, b in rest.offsets]
            return Encoded(front.ids + rest.ids, front.offsets + offsets)
    raise TunesmithError(
        f"template '{template.name}': its question ends within a token of the answer (behind "
        f"'{text.text[: text.border][-20:]}'), so training would not see what serving "
        "starts from. End the question with a line break or a special token"
    )


def _decoded(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _weigh(weights: list[float], parts: Encoded, span: tuple[int, int], weight: float, end: int | None) -> None:
    """Give the tokens of an answer its weight, and its end token if that stands right behind."""
    within = [i for i, (a, b) in enumerate(parts.offsets) if a < span[1] and b > span[0]]
    following = within[-1] + 1 if within else next((i for i, o in enumerate(parts.offsets) if o[0] >= span[1]), 0)
    if end is not None and end not in {parts.ids[i] for i in within} and parts.ids[following : following + 1] == [end]:
        within.append(following)
    for i in within:
        weights[i] = weight


def _end(text: Found, parts: Encoded, tokenizer: Any) -> int | None:
    """The token that the template ends an answer with: the last special one of the text, if only blanks follow it."""
    for token, (a, b) in zip(reversed(parts.ids), reversed(parts.offsets), strict=True):
        if token in _specials(tokenizer):
            return token if b > text.border else None
        if text.text[a:b].strip():
            return None
    return None


_SPECIALS: WeakKeyDictionary[Any, frozenset[int]] = WeakKeyDictionary()


def _specials(tokenizer: Any) -> frozenset[int]:
    if tokenizer not in _SPECIALS:
        added = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        _SPECIALS[tokenizer] = frozenset(added | set(tokenizer.all_special_ids))
    return _SPECIALS[tokenizer]


def _eos(template: Template, tokenizer: Any) -> int:
    if tokenizer.eos_token_id is None:
        raise TunesmithError(
            f"template '{template.name}' ends an answer with no special token, and the tokenizer has no eos_token, so "
            "stopping cannot be learnt. Name a template that ends its turns, or a base with an eos_token"
        )
    return int(tokenizer.eos_token_id)


def _front(tokenizer: Any) -> list[int]:
    """What the tokenizer itself puts before a text."""
    bos = getattr(tokenizer, "bos_token_id", None)
    ids = list(tokenizer("a", verbose=False)["input_ids"])
    return ids[:1] if bos is not None and ids[:1] == [bos] else []


def _plain(dialogue: Dialogue, tokenizer: Any) -> list[int]:
    """A text between the tokenizer's beginning and end."""
    end = [] if tokenizer.eos_token_id is None or dialogue.goes_on else [int(tokenizer.eos_token_id)]
    return _front(tokenizer) + encoded(dialogue.answer(), tokenizer).ids + end


def stops(template: Template, tokenizer: Any) -> list[int]:
    """Tokens that end an answer: the template's end of turn and the tokenizer's eos; generation stops at either."""
    from tunesmith.dialogue import Message

    sample = Dialogue((Message("user", "a"), Message("assistant", "b")))
    last = laid_out(sample, template, tokenizer, "last")
    ends = [i for i in last.labels if i in _specials(tokenizer)]
    eos = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    return list(dict.fromkeys(ends + eos))

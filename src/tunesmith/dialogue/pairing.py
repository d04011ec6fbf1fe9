"""Conversations for encoder-decoders: a source that is read, and a target that is written, each with tokens of its own.

    user Hi            ->  ids     Hi </s>          as `tokenizer(text)` gives them, with its special tokens
    assistant Hello    ->  labels  Hello </s>       as `tokenizer(text_target=text)` does

The source is all that stands before the last answer, as the template writes it, without blanks around it; what the
template writes of the tokenizer's own beginning and end is not written twice. The target is the text of that answer.
"""

from typing import Any

from tunesmith.dialogue import Dialogue
from tunesmith.dialogue._spans import Learn, prompt
from tunesmith.dialogue.controls import GUARD, guarded, guarded_text
from tunesmith.dialogue.laying import IGNORED, Laid, encoded
from tunesmith.dialogue.templates import Template, writer
from tunesmith.errors import TunesmithError


def pair(dialogue: Dialogue, template: Template, tokenizer: Any, *, learn: Learn, limit: int) -> Laid:
    """Source (ids) and target (labels, weights: of its length), each at most `limit` tokens.

    Only the last answer can be learnt: a conversation with several wants learn = last. The source is shortened as
    questions are (`_cutting`: oldest turns, then the middle of the longest text); a target loses its end, and is then
    not taught to stop. Raises TunesmithError for what has no source or no target.
    """
    _refuse_several(dialogue, learn)
    asked = source(dialogue, template, tokenizer, limit)
    answer = guarded_text(dialogue.answer(), template, tokenizer)
    target, weight = target_of(answer, tokenizer), dialogue.messages[-1].weight
    if len(target) > limit and target[-1] != tokenizer.eos_token_id:
        raise TunesmithError(
            f"the answer has {len(target)} tokens, and the last one, which says its language, cannot be cut off. Set "
            f"task.max_tokens={len(target)} or more, or shorten the answer"
        )
    kept = target[:limit]
    lost = (len(target) - len(kept)) if weight else 0
    labels = kept if weight else [IGNORED] * len(kept)
    return Laid(
        asked.ids, labels, [weight] * len(kept), asked.lost + len(target) - len(kept), lost, len(kept) if weight else 0
    )


def source(dialogue: Dialogue, template: Template, tokenizer: Any, limit: int) -> Laid:
    """What the encoder reads to answer, without the last answer if there is one. Nothing of it is learnt. Raises
    TunesmithError where it is too long even without its text."""
    if dialogue.plain:
        raise TunesmithError(
            "a text alone has no question for an encoder to read. Use rows with a question and an answer (task.mapping "
            "names the columns), or a base that continues texts, such as a llama"
        )
    asked = dialogue.asked()
    ids = _source(asked, template, tokenizer)
    size = len(ids)
    if size > limit:
        from tunesmith.dialogue._cutting import shortened

        asked = shortened(asked, lambda d: len(_source(d, template, tokenizer)), tokenizer, limit, 0)
        ids = _source(asked, template, tokenizer)
    if len(ids) > limit:
        raise TunesmithError(
            f"the question needs {len(ids)} tokens even without its text, and there is room for {limit}. Allow more "
            "tokens (task.max_tokens), or shorten the system text and the tools"
        )
    return Laid(ids, [], [], size - len(ids), 0, 0)


def target_of(text: str, tokenizer: Any) -> list[int]:
    """Tokens of an answer with all that the tokenizer puts around a target; they end, or end before the mark of a
    language, with its end token. Raises TunesmithError where it has none, or does not know the language."""
    if tokenizer.eos_token_id is None:
        raise TunesmithError("base: the tokenizer has no eos_token, so stopping cannot be learnt. Use another base")
    if getattr(tokenizer, "tgt_lang", "") is None:
        raise TunesmithError(
            "base: its tokenizer marks the language of what it reads and writes, and was not told which. Set src_lang "
            "and tgt_lang (such as en_XX) in the tokenizer_config.json of the base"
        )
    ids = _ids("text_target", text, tokenizer)
    return ids if tokenizer.eos_token_id in ids[-2:] else [*ids, int(tokenizer.eos_token_id)]


def front_of(tokenizer: Any) -> list[int]:
    """Special tokens that a target begins with: writing starts behind them."""
    ids, marks = target_of("a", tokenizer), set(tokenizer.all_special_ids)
    marks |= {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return ids[: next((i for i, token in enumerate(ids) if token not in marks), 0)]


def _source(asked: Dialogue, template: Template, tokenizer: Any) -> list[int]:
    text = prompt(writer(template, tokenizer), guarded(asked, template, tokenizer)).strip()
    own = tokenizer("a", verbose=False)["input_ids"]
    if tokenizer.bos_token and own[0] == tokenizer.bos_token_id:
        text = text.removeprefix(tokenizer.bos_token)
    if tokenizer.eos_token and own[-1] == tokenizer.eos_token_id:
        text = text.removesuffix(tokenizer.eos_token)
    return _ids("text", text, tokenizer)


def _ids(which: str, text: str, tokenizer: Any) -> list[int]:
    """Tokens with those that the tokenizer puts around a source (`text`) or a target (`text_target`)."""
    guards = GUARD in text
    whole = [
        int(i) for i in tokenizer(**{which: "a" if guards else text}, truncation=False, verbose=False)["input_ids"]
    ]
    if not guards:
        return whole
    inner = encoded("a", tokenizer).ids
    at = next(i for i in range(len(whole)) if whole[i : i + len(inner)] == inner)
    return whole[:at] + encoded(text, tokenizer).ids + whole[at + len(inner) :]


def _refuse_several(dialogue: Dialogue, learn: Learn) -> None:
    if not dialogue.answered and not dialogue.plain:
        raise TunesmithError("the conversation ends without an answer, so nothing can be learnt. Add the answer")
    if dialogue.answered and dialogue.messages[-1].calls:
        raise TunesmithError(
            "the answer calls a tool, and an encoder-decoder is taught texts only. Write the call into the text of the "
            "answer, or use a base that continues conversations, such as a llama"
        )
    answers = sum(m.role == "assistant" for m in dialogue.messages)
    if learn != "last" and answers > 1:
        raise TunesmithError(
            f"task.learn: {learn} would learn {answers} answers, and an encoder-decoder writes one target for one "
            "source. Set task.learn: last (the earlier answers are then read with the question), or make "
            "a row of each answer"
        )

"""Classification by label words: a gap in a sentence around the text, and which words may fill it.

    [CLS] {text} It was [MASK] . [SEP]  ->  log p(great), log p(good) | log p(bad)  ->  logits (B, C)

PET: Schick & Schütze 2021, https://arxiv.org/abs/2001.07676. Worked examples in front: Brown et al. 2020,
https://arxiv.org/abs/2005.14165. Calibration by texts without content: Zhao et al. 2021,
https://arxiv.org/abs/2102.09690.

This file is the setting and what follows from it for labels; `_gap.py` writes rows.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, NonNegativeInt

from tunesmith.data import Record, Roles
from tunesmith.data.roles import label_of, text_of
from tunesmith.described import Described
from tunesmith.errors import TunesmithError
from tunesmith.tasks._wording import Shot, Word, Wording

PLACES = re.compile(r"\{(\w+)\}")
BLANKS = ("N/A", "", "[MASK]")
"""Texts without content, those of Zhao et al."""


def _listed(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {str(k): (v,) if isinstance(v, str) else v for k, v in value.items()}


Words = Annotated[dict[str, Annotated[tuple[str, ...], Field(min_length=1)]], BeforeValidator(_listed)]


class Cloze(Described):
    """The question of `readout: verbalizer`."""

    template: str = ""
    """The sentence, with {text}, {mask} and, for pairs, {pair}: "{text} In short, it was {mask}.". For a causal base it
    ends with {mask}."""
    words: Words = {}
    """{label: words}; the labels themselves unless given. A word may have several tokens."""
    combine: Literal["mean", "sum"] = "mean"
    """What a label with several words is worth: the mean of their probabilities, or the sum, which favours labels with
    many words."""
    shots: NonNegativeInt = 0
    """Worked examples in front of each row, drawn from the training rows by the seed, from each class in turn. Their
    texts share half of `max_tokens`."""
    calibrate: Literal["none", "content_free"] = "none"
    """content_free: what the untouched base prefers for "N/A", "" and "[MASK]" is divided out of its probabilities."""

    def objection(self, *, pair: bool) -> str | None:
        """Why this template cannot be filled; None when it can."""
        if not self.template.strip():
            return 'cloze.template: readout: verbalizer needs a sentence such as "{text} In short, it was {mask}."'
        found, wanted = PLACES.findall(self.template), ["mask", "text"] + ["pair"] * pair
        for name in wanted:
            if found.count(name) != 1:
                return f"cloze.template: {{{name}}} must stand in it once, and stands there {found.count(name)} times"
        if odd := sorted(set(found) - set(wanted)):
            cure = "Set task.pair to the second text's column" if odd == ["pair"] else "Known: {text}, {pair}, {mask}"
            return f"cloze.template: nothing is known to put in place of {{{odd[0]}}}. {cure}"
        return None

    @property
    def ends(self) -> bool:
        """Whether nothing is written behind the gap, as a causal model needs it."""
        return self.template.rstrip().endswith("{mask}")

    def named(self, labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Each label's words. Raises TunesmithError where a label has none, or words have no label."""
        if strangers := sorted(set(self.words) - set(labels)):
            raise TunesmithError(
                f"task.cloze.words: {strangers} are not among the labels of the data. Known: {', '.join(labels)}"
            )
        if self.words and (missing := [label for label in labels if label not in self.words]):
            raise TunesmithError(f"task.cloze.words: no words for {missing}. Add {missing[0]}: [word]")
        if not self.words and (mute := [label for label in labels if not any(c.isalpha() for c in label)]):
            raise TunesmithError(
                f"task.cloze.words: the label '{mute[0]}' is no word that a text could go on with. Name words for each "
                f"label, such as words: {{'{mute[0]}': [good]}}"
            )
        return dict(self.words) if self.words else {label: (label,) for label in labels}


def drawn(cloze: Cloze, records: Sequence[Record], roles: Roles, labels: Sequence[str], seed: int) -> tuple[Shot, ...]:
    """Worked examples: the classes in turn, rows of a class in an order that the seed draws, each text once. Raises
    TunesmithError when there are fewer."""
    assert roles.label is not None, "examples have labels"
    order = np.random.default_rng([seed, 3]).permutation(len(records)) if cloze.shots else ()
    rows: dict[str, list[Shot]] = {label: [] for label in labels}
    seen: set[tuple[str, ...]] = set()
    for i in order:
        record = records[int(i)]
        texts, label = tuple(text_of(record, column) for column in roles.texts), label_of(record, roles.label)
        if texts not in seen and len(rows[label]) < cloze.shots:
            seen.add(texts)
            rows[label].append(Shot(text=texts[0], pair=texts[1] if len(texts) > 1 else "", label=label))
    found: list[Shot] = []
    while len(found) < cloze.shots and any(rows.values()):
        found += [rows[label].pop(0) for label in labels if rows[label]]
    if len(found) < cloze.shots:
        raise TunesmithError(f"task.cloze.shots: {cloze.shots} examples are more than the {len(found)} different rows")
    return tuple(found[: cloze.shots])


def worded(cloze: Cloze, labels: Sequence[str], tokenizer: Any, *, causal: bool) -> Wording:
    """The label words in tokens. Raises TunesmithError for one that is unknown, or that two labels share."""
    named = cloze.named(labels)
    before = cloze.template[: cloze.template.index("{mask}")]
    tokens = {label: tuple(_tokens(word, before, tokenizer) for word in named[label]) for label in labels}
    owner: dict[Word, tuple[str, str]] = {}
    for label in labels:
        for word, ids in zip(named[label], tokens[label], strict=True):
            if ids in owner:
                other, same = owner[ids]
                raise TunesmithError(
                    f"task.cloze.words: to this base '{word}' of {label} is the same as '{same}' of {other}. Choose "
                    "another word for one of them, or name it once"
                )
            owner[ids] = (label, word)
    mask = None if causal else tokenizer.mask_token_id
    if mask is None and not causal:
        raise TunesmithError("base: its tokenizer has no mask token, so there is no gap to fill")
    spelt = tuple(
        f"{label}: {', '.join('+'.join(tokenizer.convert_ids_to_tokens(list(ids))) for ids in tokens[label])}"
        for label in labels
    )
    return Wording(
        causal=causal, mask=mask, words=tuple(tokens[label] for label in labels), spelt=spelt, combine=cloze.combine
    )


def _tokens(word: str, before: str, tokenizer: Any) -> Word:
    """A word as it is written where the gap is: with the space that stands before the gap, where one does.

    Tokens of what comes before and the word, less those of what comes before; where the tokenizer joins the two, what
    comes before is tried without its words.
    """
    if not word.strip():
        raise TunesmithError("task.cloze.words: an empty word fills no gap. Remove it")
    space = " " if before[-1:].isspace() else ""
    start = PLACES.sub("x", before).rstrip()

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False, padding=False, truncation=False)["input_ids"])

    for anchor in (start, start.rstrip("x").rstrip(), ":", "\n"):
        first, whole = ids(anchor), ids(anchor + space + word.strip())
        if first and whole[: len(first)] == first and len(whole) > len(first):
            found = tuple(whole[len(first) :])
            if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in found:
                raise TunesmithError(
                    f"task.cloze.words: the base's tokenizer does not know '{word}' (it reads "
                    f"{tokenizer.unk_token}). Choose a word of its language"
                )
            return found
    raise TunesmithError(
        f"task.cloze.words: the base's tokenizer joins '{word}' with what stands before {{mask}}. Put a space or a "
        "punctuation mark before {mask}, or choose another word"
    )


def offsets(logits_NC: Any) -> tuple[float, ...]:
    """Log of the mean probability (C) that texts without content get, from their uncalibrated logits.

    Zhao et al. answer with softmax(W p), W = diag(p_cf)^-1, whose largest entry is that of p / p_cf; taken off the
    logits it makes the probabilities p / p_cf, scaled to add up to 1.
    """
    shifted = np.asarray(logits_NC, dtype=np.float64)
    shifted = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    mean_C = (shifted / shifted.sum(axis=-1, keepdims=True)).mean(axis=0)
    return tuple(float(value) for value in np.log(mean_C))

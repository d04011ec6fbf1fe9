"""Rows written around a gap, in tokens: the text is cut to fit, never the template, the examples or the gap.

    worked examples | template before | {text} | template behind        the gap stands in the template

A row is tokenised as one text, so that tokens at the seams are what the base was trained on; what belongs to the text
is seen from the places of tokens in it.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from tunesmith import scratch
from tunesmith.data import Record, Roles
from tunesmith.data.ragged import Growing
from tunesmith.errors import TunesmithError
from tunesmith.scratch import Column
from tunesmith.tasks import Array, Encoded, Facts, Slots, Tick, _text
from tunesmith.tasks._wording import Shot, Wording

BETWEEN = "\n\n"
"""What stands behind a worked example."""
_GAPS = re.compile(r"\{(text|pair|mask)\}")


class Written(NamedTuple):
    """A row as one text."""

    whole: str
    spans: tuple[tuple[int, int], ...]
    """Where its texts stand, which may be cut."""
    gap: int
    """Where the gap ends, or, for causal models, where everything ends."""


def written(template: str, wording: Wording, texts: Sequence[str], mask: str) -> Written:
    """The template filled with a text (and a second one), worked examples in front; `mask` is put into the gap."""
    own = [s.written for s in wording.shots if (s.text, s.pair)[: len(texts)] != tuple(texts)]
    whole, spans, gap, values = "".join(own), [], 0, dict(zip(("text", "pair"), texts, strict=False))
    if wording.causal:
        template = template[: template.index("{mask}")].rstrip() + "{mask}"
    pieces = [0, *(place for found in _GAPS.finditer(template) for place in found.span()), len(template)]
    for number, (start, end) in enumerate(pairwise(pieces)):
        piece = template[start:end]
        if number % 2 == 0:
            whole += piece
        elif piece == "{mask}":
            whole += mask
            gap = len(whole)
        else:
            value = values[piece[1:-1]]
            spans.append((len(whole), len(whole) + len(value)))
            whole += value
    return Written(whole, tuple(spans), gap)


def encode(task: Any, records: Sequence[Record], roles: Roles, tokenizer: Any, facts: Facts, tick: Tick) -> Encoded:
    """Rows -> tokens in every form, with the places that are read; the task adds its targets."""
    wording = facts.wording
    assert wording is not None, "the task has met its base"
    making, weights = Making(wording), scratch.room(len(records), np.float32)
    side = _text.side_table(task, records, facts)
    mask = "" if wording.causal else tokenizer.mask_token
    for part in _text.pieces(len(records)):
        first, second = _text.written(task, records[part], roles)
        texts = zip(first) if second is None else zip(first, second, strict=True)
        rows = [written(task.cloze.template, wording, each, mask) for each in texts]
        making.add(*laid(rows, tokenizer, wording, task.max_tokens))
        weights[part] = [r.weight for r in records[part]]
        tick(len(first))
    return making.done(weights, side)


class Making:
    """Rows in the making, in every form."""

    def __init__(self, wording: Wording) -> None:
        self.wording = wording
        self.ids, self.first = [Growing() for _ in wording.forms], [Column(np.int32) for _ in wording.forms]
        self.lost = Column(np.int32)

    def add(self, tokens: Sequence[Sequence[int]], gaps: Sequence[int], lost: Sequence[int]) -> None:
        """Rows as `laid` gives them: a gap is where the mask is, or behind the last token."""
        causal = self.wording.causal
        for form, ids, first in zip(self.wording.forms, self.ids, self.first, strict=True):
            ids.extend([[*row[:g], *form, *row[g + (not causal) :]] for row, g in zip(tokens, gaps, strict=True)])
            first.extend([g - causal for g in gaps])
        self.lost.extend(lost)

    def done(self, weights: Array, side: Array | None) -> Encoded:
        """All rows."""
        lost = self.lost.array()
        slots = [Slots(first.array(), self.wording.reads(i)) for i, first in enumerate(self.first)]
        forms = [
            Encoded(ids.done(), None, lost, None, side, weights, slots=slot)
            for ids, slot in zip(self.ids, slots, strict=True)
        ]
        forms[0].others = tuple(forms[1:])
        return forms[0]


def laid(
    rows: Sequence[Written], tokenizer: Any, wording: Wording, limit: int
) -> tuple[list[list[int]], list[int], list[int]]:
    """(tokens, place of the gap, tokens lost) for each row, with room for the longest form in `limit` tokens."""
    if not rows:
        return [], [], []
    given = tokenizer(
        [row.whole for row in rows], padding=False, truncation=False, return_attention_mask=False,
        return_offsets_mapping=True, verbose=False,
    )  # fmt: skip
    tokens, gaps, lost = [], [], []
    room = limit - wording.room + (not wording.causal)
    for row, whole, spread in zip(rows, given["input_ids"], given["offset_mapping"], strict=True):
        end = _end(whole, spread, tokenizer) if wording.causal else len(whole)
        ids, places = whole[:end], spread[:end]
        gone = _surplus(row, places, len(ids) - room, limit)
        tokens.append([token for i, token in enumerate(ids) if i not in gone] if gone else ids)
        gap = len(ids) if wording.causal else _mask_at(row, ids, places, wording)
        gaps.append(gap - sum(i < gap for i in gone))
        lost.append(len(gone))
    return tokens, gaps, lost


def _end(ids: Sequence[int], places: Sequence[tuple[int, int]], tokenizer: Any) -> int:
    """Tokens without the end token that some tokenizers put behind every text: the gap is what comes next."""
    end = len(ids)
    while end and ids[end - 1] == tokenizer.eos_token_id and places[end - 1][0] == places[end - 1][1]:
        end -= 1
    if not end:
        raise TunesmithError("task.cloze.template: nothing stands before {mask} to go on from. Write something there")
    return end


def _mask_at(row: Written, ids: Sequence[int], places: Sequence[tuple[int, int]], wording: Wording) -> int:
    """The mask that is ours: a text may hold others."""
    found = [i for i, token in enumerate(ids) if token == wording.mask]
    if len(found) > 1:
        found = [i for i in found if places[i][1] == row.gap]
    assert len(found) == 1, "the tokenizer keeps its own mask token whole"
    return found[0]


def _surplus(row: Written, places: Sequence[tuple[int, int]], count: int, limit: int) -> set[int]:
    """`count` tokens of the texts to leave out, from the end of the longer one."""
    if count <= 0:
        return set()
    inside = [[i for i, (a, b) in enumerate(places) if a >= start and b <= end and b > a] for start, end in row.spans]
    if sum(map(len, inside)) < count:
        fixed = len(places) - sum(map(len, inside))
        raise TunesmithError(
            f"task.max_tokens: {limit} is less than the {fixed} tokens of the template and its worked examples. Set it "
            "higher, or ask for fewer cloze.shots"
        )
    gone: set[int] = set()
    while len(gone) < count:
        gone.add(max(inside, key=len).pop())
    return gone


def shown(shots: Sequence[Shot], template: str, words: dict[str, str], tokenizer: Any, limit: int) -> tuple[Shot, ...]:
    """Worked examples as they stand in front of each row: texts cut to their share of half of `limit` tokens."""
    share = max(1, limit // (2 * max(1, len(shots))))
    made = []
    for shot in shots:
        values = {"text": _cut(shot.text, tokenizer, share), "pair": _cut(shot.pair, tokenizer, share)}
        values["mask"] = words[shot.label].strip()
        filled = "".join(values[p] if n % 2 else p for n, p in enumerate(_GAPS.split(template)))
        made.append(shot.model_copy(update={"written": filled + BETWEEN}))
    return tuple(made)


def _cut(text: str, tokenizer: Any, count: int) -> str:
    """The text up to its token number `count`."""
    given = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, padding=False, truncation=False)
    places = given["offset_mapping"]
    return text if len(places) <= count else text[: places[count - 1][1]]


def require_places(tokenizer: Any) -> None:
    """Raise TunesmithError for a tokenizer that cannot tell where its tokens stand."""
    if not getattr(tokenizer, "is_fast", False):
        raise TunesmithError(
            "base: readout: verbalizer needs a fast tokenizer (tokenizer.json): one that tells where its tokens stand "
            "in the text"
        )

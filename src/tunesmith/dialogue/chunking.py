"""A long text in pieces of at most so many tokens, cut where a reader would pause.

    … the pump leaks.\n\n | The motor is hot. | It stops at …    paragraph, line, sentence, word, and only then anywhere

Pieces lie end to end: joined they are the text, letter by letter. A cut is taken where both sides keep the tokens that
the whole text has there, if such a place is near; then no token is lost or added either. Overlap lets a piece begin
with the last tokens of the one before.
"""

import re
from collections.abc import Iterator
from typing import Any

from tunesmith.dialogue.laying import encoded

_PAUSES = (re.compile(r"\n\s*\n$"), re.compile(r"\n$"), re.compile(r"[.!?。！？…]['\"”’)]*$"), re.compile(r"\w$|\s$"))
"""How the text before a cut ends, best first; words end where no letter follows."""
_TRIED, _SEEN = 8, 16
"""Places tried for each kind of pause, and tokens behind a cut that must be the same."""


def chunks(text: str, room: int, overlap: int, tokenizer: Any) -> list[tuple[int, int]]:
    """(start, end) of each piece in characters: of at most `room` tokens, each beginning up to `overlap` tokens before
    the one before it ends."""
    whole = encoded(text, tokenizer)
    spans, first, start = list[tuple[int, int]](), 0, 0
    while len(whole.ids) - first > room:
        cut = _cut(text, whole, (first, start, room), tokenizer)
        end = whole.offsets[cut - 1][1]
        spans.append((start, end))
        first = max(cut - overlap, first + 1)
        while first < cut and not _clean(whole.offsets, first):
            first += 1
        start = whole.offsets[first - 1][1]
    return [*spans, (start, len(text))]


def _cut(text: str, whole: Any, where: tuple[int, int, int], tokenizer: Any) -> int:
    """The first token of the next piece."""
    first, start, room = where
    last = first + room
    places = [j for j in range(last, first + max(1, room // 2), -1) if _clean(whole.offsets, j)] or [last]
    for pause in _PAUSES:
        for place in list(_pausing(text, whole.offsets, places, pause))[:_TRIED]:
            if _same(text, whole, (first, start, place), tokenizer):
                return place
    for place in places:  # no pause keeps its tokens: the longest piece that fits as it is
        if len(encoded(text[start : whole.offsets[place - 1][1]], tokenizer).ids) <= room:
            return place
    return places[-1]


def _clean(offsets: list[tuple[int, int]], place: int) -> bool:
    """Whether a cut before this token goes through no letter."""
    return place > 0 and offsets[place][0] >= offsets[place - 1][1]


def _pausing(
    text: str, offsets: list[tuple[int, int]], places: list[int], pause: re.Pattern[str]
) -> Iterator[int]:  # fmt: skip
    for place in places:
        end = offsets[place - 1][1]
        inside = text[end - 1 : end].isalnum() and text[end : end + 1].isalnum()
        if not inside and pause.search(text, max(0, end - 8), end):
            yield place


def _same(text: str, whole: Any, where: tuple[int, int, int], tokenizer: Any) -> bool:
    """Whether both sides of a cut have the tokens that the whole text has there."""
    first, start, place = where
    end, beyond = whole.offsets[place - 1][1], min(place + _SEEN, len(whole.ids))
    after = encoded(text[end : whole.offsets[beyond - 1][1]], tokenizer).ids
    sure = len(after) if beyond == len(whole.ids) else _SEEN // 2
    before = encoded(text[start:end], tokenizer).ids
    return bool(before == whole.ids[first:place] and after[:sure] == whole.ids[place : place + sure])

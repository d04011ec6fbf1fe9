"""How much of two texts is the same: by the edits that make one of the other.

    share = 1 - edit distance / length of the longer one        counted in characters, and in words

The larger of the two shares counts, so that one word in ten may be another one however long it is. The distance is
Levenshtein's, exactly, a column of the table in one whole number (Hyyrö 2003, "A bit-vector algorithm for computing
Levenshtein and Damerau edit distances", after Myers 1999).
"""

import re
from collections import Counter
from collections.abc import Hashable, Sequence

WIDE = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff"
"""Characters that are as much as a word, for a class of a regular expression."""
_UNITS = re.compile(rf"[{WIDE}]|[^\s{WIDE}]+")
_LONG_TEXT, _LONG = 2_000, 20_000
"""Characters beyond which words are counted alone, and words beyond which their order is not looked at: the time grows
with the square of the length."""


def distance(one: Sequence[Hashable], other: Sequence[Hashable], most: int | None = None) -> int:
    """Fewest insertions, deletions and substitutions that make one of the other; `most` + 1 where they are more."""
    most = len(one) + len(other) if most is None else most
    one, other = _differing(one, other)
    if not one or not other:
        return min(len(one) or len(other), most + 1)
    places: dict[Hashable, int] = {}
    for i, unit in enumerate(one):
        places[unit] = places.get(unit, 0) | 1 << i
    whole, last, found = (1 << len(one)) - 1, 1 << len(one) - 1, len(one)
    up, down = whole, 0  # bit i: the table grows, or falls, by one from line i to the next
    for left_over, unit in zip(range(len(other) - 1, -1, -1), other, strict=True):
        match = places.get(unit, 0)
        level = (((match & up) + up) ^ up) | match | down
        right, left = down | ~(level | up) & whole, up & level
        found += bool(right & last) - bool(left & last)
        right = right << 1 | 1
        up = (left << 1 | ~(match | down | right)) & whole
        down = right & (match | down) & whole
        if found - left_over > most:  # the rest can take one away at each step
            return most + 1
    return found


def _differing(one: Sequence[Hashable], other: Sequence[Hashable]) -> tuple[Sequence[Hashable], Sequence[Hashable]]:
    """Both without the beginning and the end that they share, which need no edit."""
    shorter = min(len(one), len(other))
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), shorter)
    backwards = zip(one[: start - 1 if start else None : -1], other[: start - 1 if start else None : -1], strict=False)
    end = next((i for i, (a, b) in enumerate(backwards) if a != b), shorter - start)
    return one[start : len(one) - end], other[start : len(other) - end]


def units(text: str) -> list[str]:
    """Words, and Chinese, Japanese and Korean characters."""
    return _UNITS.findall(text)


def share_alike(one: str, other: str, least: float = 0.0) -> float:
    """0 to 1: the share of characters, or of words if that is larger, that need no edit; 1 for equal texts, 0 where it
    is under `least`. Of texts beyond 2,000 characters that of words alone; beyond 20,000 words, in any order. A
    Chinese, Japanese or Korean character is a word."""
    if one == other:
        return 1.0
    words = units(one), units(other)
    if max(map(len, words)) > _LONG:
        found = (Counter(words[0]) & Counter(words[1])).total() / max(map(len, words))
    else:
        found = _share(*words, least)
        if max(len(one), len(other)) <= _LONG_TEXT:
            found = max(found, _share(one, other, max(least, found)))
    return found if found >= least else 0.0


def _share(one: Sequence[Hashable], other: Sequence[Hashable], least: float) -> float:
    longer = max(1, len(one), len(other))
    most = int((1 - least) * longer + 1e-9)
    edits = distance(one, other, most)
    return 1 - edits / longer if edits <= most else 0.0

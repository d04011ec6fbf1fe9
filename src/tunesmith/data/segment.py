"""Words of a text: runs of letters, runs of digits, single signs, single Chinese, Japanese or Korean characters."""

import re
import unicodedata

_WIDE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_WIDE}]|\d+|[^\W\d{_WIDE}]+|[^\w\s]")
_IS_WIDE = re.compile(rf"[{_WIDE}]")
_JOINERS = "\u200d\ufe0e\ufe0f"


def is_wide(text: str) -> bool:
    """Whether it begins with a Chinese, Japanese or Korean character, each of which is a word."""
    return _IS_WIDE.match(text) is not None


def goes_on(text: str, at: int) -> bool:
    """Whether a boundary would cut a character: marks, variation selectors and joiners belong to what precedes."""
    mark = text[at] in _JOINERS or unicodedata.category(text[at])[0] == "M"
    return mark or (at > 0 and text[at - 1] == "\u200d")


def words_in(text: str) -> list[tuple[int, int]]:
    """(first character, end) of each word of a text."""
    found = [match.span() for match in _WORD.finditer(text)]
    if text.isascii():
        return found
    out: list[tuple[int, int]] = []
    for start, end in found:
        touches = bool(out) and out[-1][1] == start
        letters = touches and unicodedata.category(text[start - 1])[0] == "M" and text[start].isalnum()
        if touches and (goes_on(text, start) or (letters and not is_wide(text[start]))):
            out[-1] = (out[-1][0], end)
        elif unicodedata.category(text[start])[0] != "C":  # what does not print is no word
            out.append((start, end))
    return out

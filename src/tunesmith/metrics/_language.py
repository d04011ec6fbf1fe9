"""Which writing a text is in, and its units: a character of Chinese or Japanese, a word of anything else.

Han and kana are written without spaces, so that tools which split at spaces see one long "word" and find nothing in
common between two sentences. Whoever counts tokens asks here first.
"""

import re
from collections.abc import Iterable
from typing import Literal

Script = Literal["chinese", "japanese", "other"]

HAN = r"\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Han characters for a character class: unified ideographs with all extensions, the sign of repetition and zero."""
KANA = r"\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
"""Hiragana and katakana for a character class."""

LEAST = 0.1
"""Share of Chinese from which a text is treated as Chinese: words are found as well by the rules for Chinese, and
Chinese is found by no other, so a text of both is safer among them."""

_UNIT = re.compile(rf"[{HAN}{KANA}]|[^\W_{HAN}{KANA}]+")
_HAN, _KANA = re.compile(f"[{HAN}]"), re.compile(f"[{KANA}]")


def units(text: str) -> list[str]:
    """Han and kana one by one, and runs of other letters and digits (words); nothing else.

    "用 LoRA 微调" -> 用, LoRA, 微, 调.
    """
    return _UNIT.findall(text)


def chinese_share(texts: Iterable[str]) -> float:
    """Share of Han characters among all units of the texts, 0 to 1; 0 where there is no letter and no digit.

    By units, not by characters: of "用 BERT 做分类" four in five parts are Chinese, though half its letters are Latin.
    """
    han, _, total = _counted(texts)
    return han / total if total else 0.0


def script_of(texts: Iterable[str]) -> Script:
    """The writing that decides how the texts are split: chinese where at least a tenth of the units are Han, japanese
    where a tenth of Han and kana together are kana, else other."""
    han, kana, total = _counted(texts)
    if not total or (han + kana) / total < LEAST:
        return "other"
    return "japanese" if kana / (han + kana) >= LEAST else "chinese"


def _counted(texts: Iterable[str]) -> tuple[int, int, int]:
    han = kana = total = 0
    for text in texts:
        total += len(units(text))
        if not text.isascii():
            han += len(_HAN.findall(text))
            kana += len(_KANA.findall(text))
    return han, kana, total

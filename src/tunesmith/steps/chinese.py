"""Write Chinese in one script: traditional characters as simplified ones, or the other way round."""

from collections import Counter
from functools import cache
from typing import Any, ClassVar, Literal

from tunesmith.errors import TunesmithError
from tunesmith.steps._rewriting import Rewriting

_RECIPE = {"simplified": "t2s", "traditional": "s2t", "taiwan": "s2twp", "hong_kong": "s2hk"}


class Chinese(Rewriting):
    """Phrase by phrase, so that 头发 becomes 頭髮 and 发展 becomes 發展; everything that is not Chinese stays."""

    name: Literal["chinese"] = "chinese"
    to: Literal["simplified", "traditional", "taiwan", "hong_kong"] = "simplified"
    """taiwan: also its words (滑鼠 for 鼠标)."""

    source: ClassVar[str] = "OpenCC: https://github.com/BYVoid/OpenCC"
    prefer: ClassVar[str] = "Files that mix both scripts, or a base that knows one. Needs the extra [chinese]."

    def tidy(self, text: str) -> tuple[str, Counter[str]]:
        if text.isascii():
            return text, Counter()
        after = str(_converter(_RECIPE[self.to]).convert(text))
        return after, Counter(texts=int(after != text))


@cache
def _converter(recipe: str) -> Any:
    try:
        from opencc import OpenCC
    except ImportError as error:
        what = "steps.chinese needs opencc, which is not installed. Run: pip install 'tunesmith[chinese]'"
        raise TunesmithError(what) from error
    return OpenCC(recipe)

"""What counts as the same short answer: SQuAD's normalisation, and its counterpart for Chinese and Japanese.

English, and whatever has spaces: lower case, ASCII punctuation deleted, the words a, an and the deleted, spaces
collapsed; tokens are what lies between spaces (the official script of SQuAD 1.1). Chinese and Japanese references:
lower case, all punctuation deleted, articles kept ("选 A" is not "选"); tokens are single characters and whole words of
other writings (as in the script of CMRC 2018). The writing of a row is that of its references.

One rule of our own: a reference of which nothing is left ("A", "The", "?") is compared in lower case as it is. In
SQuAD's script it equals every other text of which nothing is left, an empty answer among them.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

from tunesmith.metrics._language import HAN, KANA, script_of

_ARTICLE = re.compile(r"\b(a|an|the)\b")
_ASCII = str.maketrans("", "", string.punctuation)
_CHARACTER = re.compile(rf"[{HAN}{KANA}]|[^\s{HAN}{KANA}]+")


def exact(said: str, references: Sequence[str]) -> list[float]:
    """1 for each reference that the answer equals once both are normalised, else 0."""
    spaced = script_of(references) == "other"
    return [float(_same(said, reference, spaced)) for reference in references]


def _same(said: str, reference: str, spaced: bool) -> bool:
    found = tokens(reference, spaced)
    if not found:
        return _plain(said) == _plain(reference)
    # Spaces within Chinese are no difference.
    return tokens(said, spaced) == found


def overlap(said: str, references: Sequence[str]) -> list[float]:
    """F1 of the tokens of the answer with those of each reference; where one side has none, whether both are equal."""
    spaced = script_of(references) == "other"
    answered = tokens(said, spaced)
    return [_f1(answered, tokens(each, spaced), float(_same(said, each, spaced))) for each in references]


def _f1(said: list[str], wanted: list[str], equal: float) -> float:
    if not said or not wanted:
        return equal
    return 2 * (Counter(said) & Counter(wanted)).total() / (len(said) + len(wanted))


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def tokens(text: str, spaced: bool) -> list[str]:
    """The normalised text in tokens: at spaces, or by characters and words."""
    if spaced:
        return _ARTICLE.sub(" ", text.lower().translate(_ASCII)).split()
    kept = (c for c in text.lower().translate(_ASCII) if not unicodedata.category(c).startswith("P"))
    return _CHARACTER.findall("".join(kept))

"""Which language a text is in: by its script where that tells it, else by the bytes of its words.

Chinese, Japanese, Korean, Thai and Greek are told by their letters, without any library. Languages that share a script
are told by py3langid (the extra [language]; a naive Bayes model over byte n-grams: Lui and Baldwin 2011,
https://aclanthology.org/I11-1062), among the 54 that most is written in: dialects and rare languages are what short
texts of common ones were mistaken for.
"""

import re
from collections import Counter
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tunesmith.errors import TunesmithError

LEAST = 20
"""Letters of a shared script below which words say too little: "no belt" is not told from Italian."""
BY_SCRIPT = ("zh", "ja", "ko", "th", "el")
BY_WORDS = (
    "en", "de", "fr", "es", "it", "pt", "nl", "pl", "cs", "sk", "sl", "hr", "ro", "hu", "sv", "da", "no", "fi", "et",
    "lv", "lt", "tr", "vi", "id", "ms", "tl", "sw", "sq", "ca", "ru", "uk", "bg", "sr", "mk", "be", "he", "ar", "fa",
    "ur", "hi", "bn", "ta", "te", "mr", "ka", "hy", "az", "kk", "uz",
)  # fmt: skip
LANGUAGES = (*BY_SCRIPT, *BY_WORDS)
OTHER = "other"
"""What a script says that several languages share."""
_WEIGHT = 6
"""Letters of an alphabet against one of these: a Chinese sentence may name FirstMerit, an English one seldom 水."""
_LETTERS = re.compile(
    "(?P<ja>[\u3040-\u30ff\uff66-\uff9d])|(?P<zh>[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])"
    "|(?P<ko>[\u1100-\u11ff\uac00-\ud7af])|(?P<th>[\u0e01-\u0e5b])|(?P<el>[\u0370-\u03ff\u1f00-\u1fff])"
    "|(?P<other>[^\\W\\d_])"
)
_LONGEST = 400
"""Characters that are looked at: a few lines tell a language."""


def script_of(text: str) -> tuple[str, int]:
    """(language that the script tells, or OTHER; or "" where there are no two letters, and how many letters it has).

    Kana make Chinese characters Japanese, where there is one for four of them: a Japanese sentence has more, a Chinese
    one at most a name. A Japanese text without any is taken for Chinese."""
    counts = Counter(match.lastgroup or "" for match in _LETTERS.finditer(text[:_LONGEST]))
    if counts["ja"] * 4 > counts["zh"]:
        counts["ja"] += counts.pop("zh", 0)
    weighed = {name: n * (_WEIGHT if name in ("zh", "ja", "ko") else 1) for name, n in counts.items()}
    first = max(weighed, key=lambda name: weighed[name], default="")
    return (first, counts[first]) if counts[first] > 1 else ("", 0)


def chances(text: str, *, by_words: bool = True) -> dict[str, float]:
    """{language: probability}; nothing for too few letters; OTHER for a script that several languages share where its
    words are not to be looked at. Raises TunesmithError where they are and the library is not there."""
    script, letters = script_of(text)
    if script != OTHER:
        return {script: 1.0} if script else {}
    if letters < LEAST:
        return {}
    if not by_words:
        return {OTHER: 1.0}
    return {name: chance for name, chance in _identifier().rank(text[:_LONGEST]) if chance > 0}


def installed() -> bool:
    """Whether words can be looked at."""
    return find_spec("py3langid") is not None


@cache
def _identifier() -> Any:
    try:
        library: Any = import_module("py3langid.langid")
    except ImportError as error:
        what = "languages that share a script are told by py3langid, which is not installed. Run: pip install "
        raise TunesmithError(what + "'tunesmith[language]'") from error
    found = library.LanguageIdentifier.from_model_file(library.MODEL_FILE, norm_probs=True)
    found.set_languages(LANGUAGES)
    return found

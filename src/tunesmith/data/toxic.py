"""Words that are obscene, slurs or insults whatever is meant, in English and Chinese; found as words, not by meaning.

A short list of our own: words that are mostly harmless somewhere (dick, cock, ass, retarded timing, 废物利用) are left
out or guarded, so that what is found is worth a look. English words stand alone, in any case, with letters drawn out
(fuuuck), swapped (sh1t), starred (f**k) or spaced (f u c k). Chinese words are found anywhere but in the innocent words
that contain them (我操作, 复杂种类, 印度支那).
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from tunesmith.errors import TunesmithError

_SWAPPED = {"a": "a@4", "e": "e3", "i": "i1!", "o": "o0", "s": "s$5", "t": "t7", "u": "uv"}
_ENDS = "(?:s|es|ed|er|ers|y|in|ing|ty|ted|ting|ter|ters)?"
# obscenities, insults, slurs
_ENGLISH = (
    "fuck motherfuck fucktard fuckface fuckwit dumbfuck stfu gtfo shit bullshit horseshit dipshit shithead shithole "
    "cunt twat bitch bastard asshole arsehole dumbass jackass dickhead cocksuck wank wanker slut whore pussy "
    "blowjob handjob gangbang cumshot jizz bollocks scumbag douchebag libtard "
    "nigger nigga faggot kike gook wetback raghead towelhead beaner shemale retards"
)
_PHRASES = r"(?<!\w)(?:(?:you|a|such a|fucking|fuckin|total|complete) retard|piece of shit|suck my (?:dick|cock))(?!\w)"
_CHINESE = (
    r"(?<![体早做出广生今明昨节])[操草肏艹日干][你尼][妈娘马](?!妈)", "肏", "草泥马", "滚你妈", "你妈[逼屄]",
    "妈[逼屄]", "妈了个巴子", r"(?<![他她])他妈的(?![病手家朋照钱房车话意电身名公工生])",
    r"[我卧][操肏艹槽](?![作心持控场练盘劳守之纵马])", "傻[逼屄叉缺屌]", r"傻[Bb](?![A-Za-z])", "二逼", "狗日的",
    "狗娘养", "狗杂种", "王八蛋", "婊子", "贱[人货逼]", "骚货", r"鸡巴(?![望结掌])", "屁眼", "脑残", "人渣", "去死吧",
    r"(?<!复)杂种(?![优后猪牛马鸡羊犬狗水玉群繁类植品])", r"(?<![度一两几三这那每])支那(?![样么种边时些个里])", "黑鬼",
    "高丽棒子", "死基佬", r"(?<![A-Za-z])(?:nmsl|cnm)(?![A-Za-z])",
)  # fmt: skip


@cache
def pattern(more: tuple[str, ...] = ()) -> re.Pattern[str]:
    """What finds the words, and `more` of a user's own."""
    latin = [*_ENGLISH.split(), *(word for word in more if word.isascii())]
    others = [re.escape(word) for word in more if not word.isascii()]
    english = "|".join(_disguised(word.lower()) for word in sorted(latin, key=len, reverse=True))
    spaced = "|".join("[ .-]".join(map(re.escape, word)) for word in ("fuck", "shit", "bitch", "cunt"))
    alone = rf"(?<!\w)(?:{english}){_ENDS}(?!\w)|(?<!\w)(?:{spaced})(?!\w)"
    return re.compile("|".join([alone, _PHRASES, *_CHINESE, *others]), re.IGNORECASE)


def _disguised(word: str) -> str:
    """A word with letters drawn out or swapped; or with all but the first and the last one starred."""
    letters = [f"[{_SWAPPED[c]}]" if c in _SWAPPED else re.escape(c) for c in word]
    starred = f"|{letters[0]}[*#]{{{len(word) - 2}}}{letters[-1]}" if 4 <= len(word) <= 6 else ""
    one = "|".join(  # one letter starred: f*ck, sh*t
        "".join("[*#]" if i == at else each for i, each in enumerate(letters)) for at in range(1, len(word) - 1)
    )
    drawn = "".join(f"{each}+" for each in letters)
    return f"(?:{drawn}{'|' + one if one else ''}{starred})"


def words_in(text: str, more: tuple[str, ...] = ()) -> Iterator[str]:
    """The words that stand in a text, as they stand there."""
    return (found[0] for found in pattern(more).finditer(text))


def masked(word: str) -> str:
    """A word that can be printed: its middle starred, of two characters the second."""
    return word[0] + "*" * (len(word) - 2) + word[-1] if len(word) > 2 else word[:1] + "*"


def concealed(text: str) -> str:
    """A text with such words masked, to be shown."""
    return pattern().sub(lambda found: masked(found[0]), text)


def own_words(path: Path) -> tuple[str, ...]:
    """A list of the user's own: a word a line, UTF-8, # begins a remark. Raises TunesmithError where it holds none."""
    try:
        lines: Iterable[str] = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TunesmithError(
            f"checks.toxic.words: {path} cannot be read ({error}). Name a text file in UTF-8, a word a line"
        ) from error
    found = tuple(dict.fromkeys(word for line in lines if (word := line.partition("#")[0].strip())))
    if not found:
        raise TunesmithError(f"checks.toxic.words: {path} holds no word. Write one a line")
    return found

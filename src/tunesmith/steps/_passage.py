"""A text as what may be changed in it and what may not.

    "Pump A-12 leaks oil, 0.5 MPa."   ->   Pump · A-12 · leaks · oil · , · 0.5 MPa · .      open: Pump, leaks, oil

A unit is a word, a sign, a Chinese, Japanese or Korean character (or a word of several that a lexicon knows), or a
stretch that is guarded: numbers with their units, codes and names of things, negations, words that the user names. Only
open units are changed. Words that carry a tag other than O are never open, and nothing comes between two words of a
span, so that spans keep their words, their order and their tags.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal, NamedTuple

from tunesmith.data.segment import is_wide, words_in

Guard = Literal["numbers", "codes", "negations"]
Span = tuple[int, int]
_UNITS = (
    "mm|cm|km|nm|µm|um|m|in|ft|ms|min|hrs?|h|s|k?Hz|[MG]Hz|rpm|r/min|[mk]?V|[mk]?A|kVA|[kM]?Wh?|[kM]?Pa|hPa|m?bar|psi|"
    "k?N|Nm|°\\s?[CF]|℃|℉|K|C|F|[mk]?g|lbs?|oz|ml|mL|[lL]/min|[lL]|m[23²³](?:/h)?|m/s|%|％|‰|dB|k?Ω|ohms?|Ah|t|[kMGT]i?B|"
    "[年月日号天时分秒度米元吨次个台件点]|毫米|厘米|公里|千米|小时|分钟|千瓦|兆帕|千帕|公斤|千克|毫升|升|伏|安|瓦|赫兹|摄氏度"
)
_CHINESE = "[零〇一二三四五六七八九十百千万亿两]+"
_GUARDS: dict[Guard, re.Pattern[str]] = {
    "numbers": re.compile(
        rf"(?:[<>≤≥±~≈+-]\s?)?\d+(?:[.,:/×x*–-]\d+)*(?:\s?(?:{_UNITS})(?![A-Za-z]))?|{_CHINESE}(?:点{_CHINESE})?",
        re.ASCII,
    ),
    "codes": re.compile(
        r"[a-z]+://\S+|www\.\S+|[\w.+-]+@[\w-]+\.[\w.-]+"  # addresses
        r"|<[A-Z][\w:-]*>|\[[A-Z][A-Z0-9_:-]*\]|\{\w+\}"  # placeholders
        r"|(?<![A-Za-z])[A-Z]{1,4}[ -](?=\d)[\dA-Za-z]+(?:[-_./#]?[A-Za-z0-9]+)*"  # A-12, M 8
        r"|(?=[A-Za-z_./#-]*\d)[A-Za-z0-9]+(?:[-_./#][A-Za-z0-9]+)*"  # P01, 3com, 12-B
        r"|(?<![A-Za-z])[A-Z]{2,5}(?![A-Za-z])",  # PLC
        re.ASCII,
    ),
    "negations": re.compile(
        r"(?<![A-Za-z])(?:not|no|never|none|nothing|nobody|nor|neither|without|cannot|unable|[a-z]+n['’]t)(?![A-Za-z])"
        r"|不|没有?|无|未|勿|莫|否|别|非(?!常)",
        re.IGNORECASE,
    ),
}
_WITHIN = re.compile(r"['’]")


class Unit(NamedTuple):
    """A piece of a text."""

    gap: str
    """What stands between it and the unit before."""
    text: str
    open: bool
    spans: tuple[Span, ...] = ()
    """Places of its words in its text, where words carry tags."""
    tags: tuple[str, ...] = ()

    def put(self, text: str, *, one: bool = False) -> "Unit":
        """Another text in its place, whose words carry no tag; `one`: all of it is one word, which keeps the tag of the
        one word that it stands for."""
        spans = (((0, len(text)),) if one else tuple(words_in(text))) if self.tags else ()
        tags = self.tags if one and len(self.tags) == 1 else ("O",) * len(spans)
        return self._replace(text=text, spans=spans, tags=tags)


class Passage(NamedTuple):
    """A text as units, and what stands behind the last."""

    units: tuple[Unit, ...]
    tail: str = ""

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(f"{unit.gap}{unit.text}" for unit in self.units) + self.tail

    def open(self, fits: Callable[[str], bool] = bool) -> list[int]:
        """Numbers of the units that may be changed, of those whose text fits."""
        return [i for i, unit in enumerate(self.units) if unit.open and fits(unit.text)]

    def changed(self, texts: dict[int, str], *, one: bool = False) -> "Passage":
        """With other texts in the place of some units, each of them `one` word or cut into words."""
        made = (unit.put(texts[i], one=one) if i in texts else unit for i, unit in enumerate(self.units))
        return self._replace(units=tuple(made))

    def without(self, gone: Collection[int]) -> "Passage":
        """Without some units. Of the blanks on both sides of one, the wider ones stay."""
        kept: list[Unit] = []
        held = ""
        for i, unit in enumerate(self.units):
            gap = max(held, unit.gap, key=len)
            if i in gone:
                held = gap if kept else ""
            else:
                kept.append(unit._replace(gap=gap if kept else ""))
                held = ""
        return Passage(tuple(kept), self.tail)

    def words(self) -> tuple[list[int], list[str]]:
        """(first character and end of each word in turn, the tags), where words carry tags."""
        flat, tags, at = list[int](), list[str](), 0
        for unit in self.units:
            at += len(unit.gap)
            flat += [at + place for span in unit.spans for place in span]
            tags += unit.tags
            at += len(unit.text)
        return flat, tags


def anew(text: str) -> Passage:
    """A text that was written as a whole."""
    return Passage((Unit("", text, False),))


def lost(before: Passage, after: str) -> str | None:
    """What a text that was written anew has lost of another; None where all is well."""
    held = [u.text for u in before.units if not u.open and any(c.isalnum() for c in u.text)]
    if any(re.search(rf"(?<![A-Za-z0-9]){re.escape(t)}(?!\.?\d|[A-Za-z])", after) is None for t in held):
        return "a guarded stretch was lost"
    wide = [any(is_wide(c) for c in text) for text in (before.text, after)]
    return "it came out in another script" if wide[0] != wide[1] else None


def passage(
    text: str,
    guards: Sequence[Guard],
    keep: Sequence[str] = (),
    tagged: tuple[Sequence[Span], Sequence[str]] | None = None,
    lexicon: Collection[str] = (),
    *,
    within: bool = False,
) -> Passage:
    """The units of a text. `keep`: words that stay; `tagged`: (words, their tags), where they carry some; `lexicon`:
    words of several wide characters that are one unit, the longest first; `within`: words of spans are open, too."""
    closed = _guarded(text, guards, keep)
    spans = _merged(text, closed) if tagged is None else list(tagged[0])
    tags = None if tagged is None else tagged[1]
    units: list[Unit] = []
    longest, at, end = max(map(len, lexicon), default=0), 0, 0
    while at < len(spans):
        count = _known(text, spans, tags, closed, at, lexicon, longest)
        start, stop = spans[at][0], spans[at + count - 1][1]
        own = tuple((a - start, b - start) for a, b in spans[at : at + count]) if tags is not None else ()
        marks = tuple(tags[at : at + count]) if tags is not None else ()
        word = text[start:stop]
        bare = within or all(tag == "O" for tag in marks)
        free = bare and not _meets(closed, start, stop) and word[0].isalpha()
        units.append(Unit(text[end:start], word, free, own, marks))
        at, end = at + count, stop
    return Passage(tuple(units), text[end:])


def _known(  # noqa: PLR0913
    text: str, spans: Sequence[Span], tags: Sequence[str] | None, closed: list[Span], at: int,
    lexicon: Collection[str], longest: int,
) -> int:  # fmt: skip
    """How many wide characters from there on are one word; 1 where they are none."""
    if not longest or not is_wide(text[spans[at][0] :]):
        return 1
    start, best = spans[at][0], 1
    for count in range(1, longest + 1):
        last = at + count - 1
        if last >= len(spans) or spans[last][1] - start != count or _meets(closed, start, start + count):
            break
        if tags is not None and tags[last] != "O":
            break
        if count > 1 and text[start : start + count] in lexicon:
            best = count
    return best


def _guarded(text: str, guards: Iterable[Guard], keep: Sequence[str]) -> list[Span]:
    """Stretches that stay, in order, those that touch each other's inside made one."""
    patterns = [_GUARDS[name] for name in guards if not (name == "codes" and text.isupper())]
    if keep:
        edges = [rf"(?<![A-Za-z0-9]){re.escape(k)}(?![A-Za-z0-9])" if k[:1].isascii() else re.escape(k) for k in keep]
        patterns.append(re.compile("|".join(edges), re.IGNORECASE))
    if "codes" in guards and text.isupper():  # where all is upper-case, short words of letters are no codes
        patterns.append(re.compile(r"(?=[A-Z_./#-]*\d)[A-Z0-9]+(?:[-_./#][A-Z0-9]+)*", re.ASCII))
    out: list[Span] = []
    for start, end in sorted(m.span() for p in patterns for m in p.finditer(text) if m.end() > m.start()):
        if out and start < out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def _meets(closed: list[Span], start: int, end: int) -> bool:
    return any(a < end and start < b for a, b in closed)


def _merged(text: str, closed: list[Span]) -> list[Span]:
    """Words of a text without tags: what is guarded is one word, and so is a word with an apostrophe in it."""
    rest = [w for w in words_in(text) if not _meets(closed, *w)]
    cut = [(a, b) for a, b in words_in(text) if _meets(closed, a, b)]
    whole = [(min([s, *(a for a, b in cut if a < e and s < b)]), max([e, *(b for a, b in cut if a < e and s < b)]))
             for s, e in closed]  # fmt: skip
    out: list[Span] = []
    for start, end in sorted([*rest, *whole]):
        if out and start < out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        elif _goes_with(text, out, start):
            out[-2:] = [(out[-2][0], end)]
        else:
            out.append((start, end))
    return out


def _goes_with(text: str, out: list[Span], start: int) -> bool:
    """Whether a word continues the one before an apostrophe: don · ' · t."""
    if len(out) < 2 or out[-1][1] != start or out[-2][1] != out[-1][0] or not _WITHIN.fullmatch(text[slice(*out[-1])]):
        return False
    return text[start].isalpha() and text[out[-2][1] - 1].isalpha() and not is_wide(text[start])

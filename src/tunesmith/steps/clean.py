"""Clean texts without destroying what they say: Unicode form, HTML debris, control characters, whitespace."""

import re
import unicodedata
from collections import Counter
from typing import ClassVar, Literal

from tunesmith.data.markup import without_markup
from tunesmith.steps._rewriting import Rewriting

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u2060\ufeff\ufffe\uffff]")
_LINE_ENDS, _BLANKS, _EDGES, _GAPS = (
    re.compile("\r\n?|\x85|\u2028|\u2029"),
    re.compile(r"[^\S\n]+"),
    re.compile(r" *\n *"),
    re.compile(r"\n{3,}"),
)


class Clean(Rewriting):
    """Text columns only; digits, signs, units and every script stay: "0.5 MPa -3.2°C", "泵A-12漏油,压力<0.3!"."""

    name: Literal["clean"] = "clean"
    unicode: Literal["nfc", "nfkc", "keep"] = "nfc"
    """nfc: one code for one character, looks stay. nfkc: also full-width letters and ligatures to plain ones (changes
    ² and ℃). keep: as it is."""
    markup: Literal["remove", "keep"] = "remove"
    """remove: HTML tags with known names, comments, scripts, and one layer of entities (&amp;amp; becomes &amp;)."""
    controls: Literal["remove", "keep"] = "remove"
    """remove: characters that do not print (not line breaks, tabs, nor the joiners inside emoji)."""
    whitespace: Literal["collapse", "keep"] = "collapse"
    """collapse: runs of blanks to one space, at most one empty line, nothing at either end."""

    prefer: ClassVar[str] = "Texts copied from web pages, mails or spreadsheets. It runs at prediction time too."

    def spoils(self) -> str | None:
        if self.markup == self.whitespace == "keep":
            return None
        return "code and tables in answers live by blanks and tags. Keep both (markup: keep, whitespace: keep)"

    def tidy(self, text: str) -> tuple[str, Counter[str]]:
        """A clean text, and how often what was done to it."""
        counts: Counter[str] = Counter()
        if _is_clean(text):
            return text, counts
        if self.markup == "remove":
            text = without_markup(text, counts)
        if self.controls == "remove":
            text, counts["controls"] = _CONTROL.subn("", text)
        if self.unicode != "keep":
            form: Literal["NFC", "NFKC"] = "NFC" if self.unicode == "nfc" else "NFKC"
            normal = unicodedata.normalize(form, text)
            counts["unicode"], text = int(normal != text), normal
        if self.whitespace == "collapse":
            tidied = _collapsed(text)
            counts["whitespace"], text = int(tidied != text), tidied
        return text, +counts


def _is_clean(text: str) -> bool:
    """Whether nothing can be found in it, told ten times as fast as by looking for each thing: most texts are so."""
    plain = text.isascii() and text.isprintable() and "  " not in text and text == text.strip()
    return plain and "<" not in text and "&" not in text


def _collapsed(text: str) -> str:
    text = _BLANKS.sub(" ", _LINE_ENDS.sub("\n", text))
    return _GAPS.sub("\n\n", _EDGES.sub("\n", text)).strip()

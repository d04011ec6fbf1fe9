"""HTML in texts: tags with known names, entities with a semicolon, comments; never a mere < or &."""

import html
import re
from collections import Counter
from html.entities import html5

_BLOCK = (
    "address article aside blockquote br dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr li main "
    "nav ol p pre section table tbody td tfoot th thead tr ul"
)
_INLINE = (
    "a abbr acronym b big body button center cite code del dfn em font head html i iframe img input ins kbd label link "
    "mark meta option q s samp select small span strike strong sub sup textarea title tt u var"
)
# An attribute needs a value, so that "a<b and c>d" is no tag. Possessive: a hostile text costs linear time.
_ATTRIBUTES = r"""(?:\s++[A-Za-z_:][\w:.\-]*+\s*+=\s*+(?:"[^"<>]*+"|'[^'<>]*+'|[^\s"'<>=]++))*+"""
_TAG = re.compile(
    rf"<(/?)({'|'.join(sorted((_BLOCK + ' ' + _INLINE).split(), key=len, reverse=True))}){_ATTRIBUTES}\s*+/?>", re.I
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_HIDDEN = tuple(
    (re.compile(start, re.I), re.compile(end, re.I))
    for start, end in (
        ("<!--", "-->"),
        (r"<script\b[^<>]*+>", r"</script\s*+>"),
        (r"<style\b[^<>]*+>", r"</style\s*+>"),
    )
)
_BLOCKS = frozenset(_BLOCK.split())


def without_markup(text: str, counts: Counter[str]) -> str:
    """The text without HTML; what went is counted as tags, entities and hidden (comments, scripts, styles)."""
    if "<" not in text and "&" not in text:
        return text
    for start, end in _HIDDEN:
        text = _without_hidden(text, start, end, counts)
    lowered, paired = text.casefold(), dict[str, bool]()

    def gone(match: re.Match[str]) -> str:
        closing, name = match[1], match[2].casefold()
        # "a<b>c" may compare three numbers: a one-letter tag must have its partner
        partner = f"<{name}" if closing else f"</{name}"
        if len(name) == 1 and partner not in paired:
            paired[partner] = partner in lowered
        if not paired.get(partner, True):
            return match[0]
        counts["tags"] += 1
        return "\n" if name in _BLOCKS else ""

    def spelled(match: re.Match[str]) -> str:
        if not match[0].startswith("&#") and match[0][1:] not in html5:
            return match[0]
        counts["entities"] += 1
        return html.unescape(match[0])

    return _ENTITY.sub(spelled, _TAG.sub(gone, text))


def _without_hidden(text: str, start: re.Pattern[str], end: re.Pattern[str], counts: Counter[str]) -> str:
    """Each start up to the next end becomes a space; what is never closed stays. One walk, whatever the text."""
    pieces, at = [], 0
    while (opened := start.search(text, at)) and (closed := end.search(text, opened.end())):
        pieces += [text[at : opened.start()], " "]
        at = closed.end()
        counts["hidden"] += 1
    return "".join(pieces) + text[at:] if pieces else text

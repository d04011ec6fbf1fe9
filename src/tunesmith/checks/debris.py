"""Texts that are not what they seem: empty, with debris of HTML or broken encodings, with marks that cannot be seen."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Literal

from tunesmith.checks import Check, Finding, Seen, Severity
from tunesmith.data.format import counted
from tunesmith.data.markup import without_markup
from tunesmith.data.overlap import Hits

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
# UTF-8 read as latin-1 or cp1252 (Ã©, â€™), UTF-8 read as GBK (锟斤拷 = the replacement character), and that character
_MOJIBAKE = re.compile("Ã[\u0080-\u00bf©¨¤¶¼]|Â[\u00a0-\u00bf]|â€[\u0080-\u00bf™œ“”]|锟斤拷|\ufffd")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_LONG = 10_000


def _has_markup(text: str) -> bool:
    counts: Counter[str] = Counter()
    without_markup(text, counts)
    return counts.total() > 0


Test = tuple[str, Severity, str, Callable[[str], object]]
TESTS: tuple[Test, ...] = (
    ("empty_text", "warning", "Remove them: nothing can be learnt from an empty text", lambda t: not t.strip()),
    ("html", "warning", "Tags or entities of HTML: add the step clean", _has_markup),
    ("control_characters", "warning", "Characters that do not print: add the step clean", _CONTROL.search),
    ("mojibake", "warning", "Signs of a wrong encoding (Ã©, â€™, 锟斤拷, U+FFFD): export the file again",
     _MOJIBAKE.search),
    ("bidi_marks", "info", "Marks that turn the direction of writing: what is seen is not what is stored",
     _BIDI.search),
    ("long_text", "info", f"More than {_LONG} characters: the model reads the beginning only",
     lambda t: len(t) > _LONG),
)  # fmt: skip


class Debris(Check):
    """One walk over each text column; each kind of debris is a finding."""

    name: Literal["debris"] = "debris"

    def look(self, seen: Seen) -> Iterable[Finding]:
        for column in seen.worded:
            hits = {kind: Hits() for kind, *_ in TESTS}
            for record in seen.records:
                text = seen.words(record, column)
                for kind, _, _, test in TESTS:
                    if test(text):
                        hits[kind].add(record)
            for kind, severity, remedy, _ in TESTS:
                if count := hits[kind].count:
                    told = f"{counted(count, 'row')} (first: {hits[kind].shown}). {remedy}"
                    yield Finding(kind, count, column, severity, told)

"""Which script the texts are written in."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from tunesmith.checks import Check, Finding, Seen
from tunesmith.data.roles import text_of

_SCRIPTS = re.compile(
    "(?P<latin>[A-Za-z\u00c0-\u024f])|(?P<cjk>[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff])|(?P<other>[^\\W\\d_])"
)
_LONG = 10_000


class Script(Check):
    """Shares of Latin, CJK and other letters."""

    name: Literal["script"] = "script"

    def look(self, seen: Seen) -> Iterable[Finding]:
        for column in seen.texts if seen.some else ():
            shares = scripts([text_of(r, column) for r in seen.some])
            told = "Script: " if not seen.told else f"Script, in {len(seen.some)} rows evenly taken: "
            told += ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
            rows = len(seen.records)
            yield Finding("script", rows, column, "info", f"{told}. Choose a base that was trained on it")


def scripts(texts: Sequence[str]) -> dict[str, float]:
    """Share of Latin, CJK and other letters among all letters."""
    counts = Counter(match.lastgroup or "" for text in texts for match in _SCRIPTS.finditer(text[:_LONG]))
    total = counts.total() or 1
    return {name: counts[name] / total for name in ("latin", "cjk", "other")}

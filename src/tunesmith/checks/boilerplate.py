"""Lines and sentences that stand in row after row: signatures, disclaimers, headers of forms."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

from tunesmith.checks import Check, Finding, Seen
from tunesmith.data.format import counted, excerpt
from tunesmith.data.roles import text_of

SHARE, ROWS = 0.02, 10
_PIECE = re.compile(r"[^\n。！？]+?(?:[.!?](?=\s)|[。！？]|$|(?=\n))", re.MULTILINE)


class Boilerplate(Check):
    """Pieces of 15 letters or more (6 with Chinese) that stand in 2 % of the different texts, and in ten of them."""

    name: Literal["boilerplate"] = "boilerplate"
    thorough: ClassVar[bool] = True

    def look(self, seen: Seen) -> Iterable[Finding]:
        for column in seen.texts:
            texts = {text_of(record, column) for record in seen.some}
            counts: Counter[str] = Counter()
            for text in texts:
                counts.update(set(pieces(text)) - {text.strip()})
            often = [(piece, n) for piece, n in counts.most_common(20) if n >= max(ROWS, SHARE * len(texts))]
            if often:
                shown = "; ".join(f"'{excerpt(piece)}' ({n})" for piece, n in often[:5])
                what = counted(len(often), "line stands", "lines stand") + f" in many texts: {shown}{seen.told}. "
                fix = "If they say nothing, name them in the step {name: boilerplate, lines: […]}"
                yield Finding("boilerplate", often[0][1], column, "info", what + fix)


def pieces(text: str) -> Iterator[str]:
    """Lines and sentences that are long enough to be told from chance."""
    for match in _PIECE.finditer(text):
        piece = " ".join(match[0].split())
        if len(piece) >= (6 if re.search("[\u4e00-\u9fff]", piece) else 15):
            yield piece

"""Obscenities, slurs and insults that are plain from the word alone, in English and Chinese.

A list finds words and not meaning: an insult without such a word is missed, and a quoted one is found.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal

from tunesmith.checks import Check, Finding, Seen
from tunesmith.data.format import counted
from tunesmith.data.overlap import Hits
from tunesmith.data.toxic import masked, own_words, words_in

_SHOWN, _LISTED = 6, 50


class Toxic(Check):
    """`toxic`: whole words, drawn out, starred or spelled with digits, too; shown with their middle masked."""

    name: Literal["toxic"] = "toxic"
    words: Path | None = None
    """A file with words of your own, one a line, looked for beside ours."""
    thorough: ClassVar[bool] = True
    file_settings: ClassVar[tuple[str, ...]] = ("words",)

    def look(self, seen: Seen) -> Iterable[Finding]:
        more = own_words(self.words) if self.words else ()
        for column in seen.worded:
            hits, counts, listed = Hits(), Counter[str](), []
            for record in seen.some:
                if found := [masked(word.lower()) for word in words_in(seen.words(record, column), more)]:
                    hits.add(record)
                    counts.update(found)
                    listed.append({"row": record.place, "words": ", ".join(dict.fromkeys(found))})
            if hits.count:
                shown = ", ".join(f"{word} {n}" for word, n in counts.most_common(_SHOWN))
                held = counted(hits.count, "row holds", "rows hold")
                told = f"{held} obscenities, slurs or insults: {shown}{seen.told} (first: {hits.shown}). "
                fix = "A model repeats what it learns: take such rows out unless they are what it shall know"
                yield Finding("toxic", hits.count, column, "warning", told + fix, tuple(listed[:_LISTED]))

"""Which languages the texts are in, and which rows are in another than most."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import ClassVar, Literal

from tunesmith.checks import Check, Finding, Seen
from tunesmith.data.languages import OTHER, chances, installed
from tunesmith.data.overlap import Hits
from tunesmith.data.record import Record
from tunesmith.data.roles import text_of

SURE, SHOWN, COMMON = 0.8, 8, 0.1


class Language(Check):
    """Chinese, Japanese, Korean, Thai and Greek by their script, others by their words (with the extra [language]).
    Rows of a language that fewer than a tenth of the others have are named; texts too short to tell are counted."""

    name: Literal["language"] = "language"
    thorough: ClassVar[bool] = True

    def look(self, seen: Seen) -> Iterable[Finding]:
        words = installed()
        for column in seen.texts if seen.some else ():
            found: defaultdict[str, Hits] = defaultdict(Hits)
            for record in seen.some:
                found[_language(record, column, words)].add(record)
            untold = found.pop("", Hits()).count
            counts = Counter({name: hits.count for name, hits in found.items()})
            if not counts:
                continue
            shares = ", ".join(f"{_named(name)} {n / counts.total():.1%}" for name, n in counts.most_common(SHOWN))
            rest = f"; {untold} texts are too short or too mixed to tell" if untold else ""
            rare = {name: found[name] for name, n in counts.items() if n < COMMON * counts.total()}
            told = f"{shares}{rest}{seen.told}. "
            told += _rare(rare, [n for n in counts if n not in rare and n != OTHER]) if rare else ""
            told += "" if rare else "Choose a base that was trained on it"
            told += "" if words or OTHER not in counts else ". Languages that share a script need the extra [language]"
            rows = sum(hits.count for hits in rare.values()) if rare else len(seen.records)
            yield Finding("language", rows, column, "warning" if rare else "info", told)


def _rare(rare: dict[str, Hits], common: list[str]) -> str:
    told = "Rows in another language: " + "; ".join(f"{_named(name)}: {hits.shown}" for name, hits in rare.items())
    fix = f". If they do not belong, add the step {{name: language, languages: [{', '.join(common)}]}}"
    return told + fix * bool(common)


def _language(record: Record, column: str, words: bool) -> str:
    """The language of a text; "" where it cannot be told."""
    found = chances(text_of(record, column), by_words=words)
    likely = max(found, key=lambda name: found[name], default="")
    return likely if found.get(likely, 0.0) >= SURE else ""


def _named(language: str) -> str:
    return "languages that share a script" if language == OTHER else language

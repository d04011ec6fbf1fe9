"""New training rows with some words replaced by synonyms, from a thesaurus that the user has.

English: WordNet (Open English WordNet as YAML, or nltk's). Chinese: Cilin, or a list of one's own.
"""

from pathlib import Path
from random import Random
from typing import Any, ClassVar, Literal

from pydantic import PositiveInt

from tunesmith.data.ledger import Ledger
from tunesmith.steps._augmenting import Augmentation, Maker, each, some_of
from tunesmith.steps._making import Share
from tunesmith.steps._passage import Passage
from tunesmith.steps._plain_words import carries_meaning
from tunesmith.steps._thesaurus import Thesaurus, files_of, thesaurus


class Synonyms(Augmentation):
    """A sense is not looked for: the word's most usual ones are taken, or, where a resource has no such order, words
    with one sense alone. An ending (-s, -ed, -ing) moves on to the synonym where both follow the rules of English."""

    name: Literal["synonyms"] = "synonyms"
    resource: str
    """A file: CSV with a group of synonyms a line, Cilin, Open English WordNet as YAML (archive or folder); or nltk."""
    rate: Share = 0.2
    """Share of a text's words that are replaced, of those that have synonyms."""
    senses: PositiveInt = 1
    """Of how many senses of a word synonyms are taken, the most usual first."""

    file_settings: ClassVar[tuple[str, ...]] = ("resource",)
    source: ClassVar[str] = "synonym replacement of Wei & Zou 2019, https://arxiv.org/abs/1901.11196"
    prefer: ClassVar[str] = "Few rows a class, and a thesaurus of the language at hand."

    def files(self) -> tuple[Path, ...]:
        return files_of(self.resource)

    def maker(self, ledger: Ledger, plan: Any) -> Maker:
        words = thesaurus(self.resource)
        ledger.changed(self.name, f"licence of {Path(self.resource).name}: {words.licence}")
        return _Replacing(words, self.rate, self.senses)

    def lexicon(self, maker: Any) -> frozenset[str]:
        found: frozenset[str] = maker.words.wide
        return found


class _Replacing:
    """A thesaurus, and how much of a text it may change."""

    def __init__(self, words: Thesaurus, rate: float, senses: int) -> None:
        self.words, self.rate, self.senses = words, rate, senses

    def __call__(self, texts: Any, draws: Any) -> Any:
        return each(self._one)(texts, draws)

    def _one(self, text: Passage, draw: Random) -> Passage:
        return replaced(text, self.words, self.rate, self.senses, draw)


def replaced(text: Passage, words: Thesaurus, rate: float, senses: int, draw: Random) -> Passage:
    """Some of the words that have synonyms, replaced."""
    found = {i: words.others(text.units[i].text, senses) for i in text.open(carries_meaning)}
    known = [i for i, others in found.items() if others]
    return text.changed({i: draw.choice(found[i]) for i in some_of(known, rate, draw)})

"""Easy data augmentation: each new row has words swapped, inserted, deleted or replaced by synonyms.

    n = max(1, alpha · words)     of one operation a copy, drawn for it; deletion takes each word with probability alpha

Wei and Zou 2019, https://arxiv.org/abs/1901.11196. Without a thesaurus nothing is replaced, and what is inserted is
another word of the same text. Chinese goes by characters, or by the words that the thesaurus knows.
"""

from pathlib import Path
from random import Random
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from tunesmith.data.ledger import Ledger
from tunesmith.data.segment import is_wide
from tunesmith.steps._augmenting import Augmentation, Maker, each, some_of
from tunesmith.steps._passage import Passage, Unit
from tunesmith.steps._plain_words import carries_meaning
from tunesmith.steps._thesaurus import Thesaurus, files_of, thesaurus
from tunesmith.steps.synonyms import replaced

Alpha = Annotated[float, Field(ge=0, le=0.5)]


class Eda(Augmentation):
    """Operations of the copies of a row are drawn from those whose alpha is above 0."""

    name: Literal["eda"] = "eda"
    swap: Alpha = 0.1
    """Share of the words that change places with another."""
    insert: Alpha = 0.1
    """Share of the words by which a text grows: a synonym of one of its words, or without `resource` such a word."""
    delete: Alpha = 0.1
    """Probability with which a word leaves; one at least stays."""
    replace: Alpha = 0.1
    """Share of the words that are replaced by a synonym; wants `resource`."""
    resource: str | None = None
    """A thesaurus, as of the step synonyms."""

    file_settings: ClassVar[tuple[str, ...]] = ("resource",)
    source: ClassVar[str] = "Wei & Zou 2019, https://arxiv.org/abs/1901.11196"
    prefer: ClassVar[str] = "Few rows a class, and labels that do not hang on the order of words."

    def own_objection(self, plan: Any) -> str | None:
        if not (self.swap or self.insert or self.delete or (self.replace and self.resource)):
            return "all alphas are 0, or replace stands alone without a resource: nothing would change. Remove eda"
        if self.resource is None and self.differs("replace") and self.replace:
            return "replace has no effect without resource: a thesaurus, as of the step synonyms. Give it, or drop it"
        return None

    def files(self) -> tuple[Path, ...]:
        return files_of(self.resource) if self.resource else ()

    def maker(self, ledger: Ledger, plan: Any) -> Maker:
        words = thesaurus(self.resource) if self.resource else None
        if words is not None:
            ledger.changed(self.name, f"licence of {Path(self.resource or '').name}: {words.licence}")
        return _Changing(self, words)

    def lexicon(self, maker: Any) -> frozenset[str]:
        found: frozenset[str] = maker.words.wide if maker.words else frozenset()
        return found


class _Changing:
    """The operations of a step, with its thesaurus."""

    def __init__(self, step: Eda, words: Thesaurus | None) -> None:
        self.step, self.words = step, words
        names = ("swap", "insert", "delete", *(("replace",) if words else ()))
        self.names = [name for name in names if getattr(step, name)]

    def __call__(self, texts: Any, draws: Any) -> Any:
        return each(self._one)(texts, draws)

    def _one(self, text: Passage, draw: Random) -> Passage:
        name = draw.choice(self.names)
        alpha: float = getattr(self.step, name)
        if name == "replace":
            assert self.words is not None
            return replaced(text, self.words, alpha, 1, draw)
        if name == "delete":
            return deleted(text, alpha, draw)
        return swapped(text, alpha, draw) if name == "swap" else self._grown(text, alpha, draw)

    def _grown(self, text: Passage, alpha: float, draw: Random) -> Passage:
        places = text.open()
        told = [i for i in places if carries_meaning(text.units[i].text)]
        new: dict[int, str] = {}
        for place in some_of(places, alpha, draw):
            if not told:
                continue
            word = text.units[draw.choice(told)].text
            others = self.words.others(word, 1) if self.words else []
            new[place] = draw.choice(others) if others else word
        return inserted(text, new)


def swapped(text: Passage, alpha: float, draw: Random) -> Passage:
    """Words that change places, two and two; blanks stay where they are."""
    places = text.open()
    if len(places) < 2:
        return text
    units = list(text.units)
    for first in some_of(places, alpha, draw):
        second = draw.choice([p for p in places if p != first])
        one, other = units[first], units[second]
        units[first], units[second] = other._replace(gap=one.gap), one._replace(gap=other.gap)
    return Passage(tuple(units), text.tail)


def deleted(text: Passage, alpha: float, draw: Random) -> Passage:
    """Each word leaves with that probability, one at least and never all."""
    places = text.open()
    if len(places) < 2:
        return text
    gone = [p for p in places if draw.random() < alpha] or [draw.choice(places)]
    if len(gone) == len(places):
        gone.remove(draw.choice(gone))
    return text.without(set(gone))


def inserted(text: Passage, new: dict[int, str]) -> Passage:
    """Words behind some units that may be changed, so that none comes between two words of a span."""
    units: list[Unit] = []
    for i, unit in enumerate(text.units):
        units.append(unit)
        if i in new:
            joint = "" if is_wide(new[i]) and is_wide(unit.text[-1]) else " "
            units.append(unit._replace(gap=joint).put(new[i]))
    return Passage(tuple(units), text.tail)

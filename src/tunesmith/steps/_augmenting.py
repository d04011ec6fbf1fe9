"""What steps share that make further training rows by changing texts, under labels that stay.

    row -> its texts as passages -> a maker's other texts -> a new row behind it, with the same label

How many rows are made of which, by which draws, and who is told: `_making.py`.
"""

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from random import Random
from typing import Any, ClassVar

from pydantic import PositiveInt

from tunesmith.data import Record, Roles
from tunesmith.data.ledger import Ledger
from tunesmith.data.record import MADE
from tunesmith.data.roles import label_of, text_of
from tunesmith.steps._making import Made, Making
from tunesmith.steps._passage import Guard, Passage, lost, passage

Maker = Callable[[Sequence[Passage], Sequence[Random]], Sequence[Passage]]
"""Other texts for some, each with draws of its own; the same text where nothing could be done."""
ALL: tuple[Guard, ...] = ("numbers", "codes", "negations")
_KINDS = ("classes", "multilabel", "numbers", "tags", "several")


class Augmentation(Making):
    """Makes further training rows of texts with a label. Abstract."""

    below: PositiveInt | None = None
    """Take only rows of classes with fewer training rows than this."""
    guard: tuple[Guard, ...] = ALL
    """What is never changed. numbers: with their signs and units (0.5 MPa, 三). codes: words with a digit in them
    (A-12), short upper-case words, addresses, placeholders. negations: not, without, 不, 没有: the label often hangs on
    them."""
    keep: tuple[str, ...] = ()
    """Further words that are never changed, in any case of letters."""

    whole: ClassVar[bool] = False
    """Whether texts are written anew, so that nobody knows where their words went."""
    batch: ClassVar[int] = 64
    """New rows that are made together; it changes how fast, not what."""

    def objection(self, plan: Any) -> str | None:
        if plan.task.sees or plan.task.hears or plan.task.kind not in _KINDS:
            return (
                f"{self.name} rewrites the texts of rows that have a label, and task {plan.task.name} has none such. "
                "Take it out of steps"
            )
        if plan.task.kind == "tags" and self.whole:
            return (
                f"{self.name} writes a text anew, and no tag knows its word again. Take it out of steps; synonyms, eda "
                "and noise keep tags with their words"
            )
        if self.below is not None and plan.task.kind != "classes":
            return f"below counts rows of classes, and a row of task {plan.task.name} has no one class. Remove it"
        return super().objection(plan) or self.own_objection(plan)

    def own_objection(self, plan: Any) -> str | None:
        """Further rules, of the step itself."""
        return None

    @abstractmethod
    def maker(self, ledger: Ledger, plan: Any) -> Maker:
        """What makes other texts; resources are opened here, once a run, and the ledger is told their licence."""

    def lexicon(self, maker: Maker) -> frozenset[str]:
        """Words of several Chinese characters that the maker knows."""
        return frozenset()

    def counts(self, records: Sequence[Record], roles: Roles) -> Counter[str]:
        if self.below is None:
            return Counter()
        return Counter(label_of(r, roles.label) for r in records if roles.label and MADE not in r.cells)

    def pairs(
        self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int, plan: Any, counts: Counter[str]
    ) -> Iterator[tuple[Record, int | None, Made | None]]:
        maker = self.maker(ledger, plan)
        lexicon = self.lexicon(maker)
        asked = ((r, n) for r in records for n in self.wanted(r, roles, seed, counts))
        while some := list(islice(asked, self.batch)):
            work = [(record, number, column) for record, number in some if number is not None
                    for column in roles.texts if text_of(record, column).strip()]  # fmt: skip
            before = [self._passage(record, roles, column, lexicon) for record, _, column in work]
            draws = [self.draw(seed, record, roles, f"{number} {column}") for record, number, column in work]
            after = maker(before, draws) if work else ()
            new: dict[tuple[int, int], dict[str, Passage]] = {}
            for (record, copy, column), text in zip(work, after, strict=True):
                new.setdefault((record.id, copy), {})[column] = text
            for record, number in some:
                texts = {} if number is None else new.get((record.id, number), {})
                yield record, number, None if number is None else self._row(record, roles, texts)

    def fits(self, record: Record, roles: Roles, counts: Counter[str]) -> bool:
        return self.below is None or (roles.label is not None and counts[label_of(record, roles.label)] < self.below)

    def _passage(self, record: Record, roles: Roles, column: str, lexicon: frozenset[str] = frozenset()) -> Passage:
        return passage_of(record, roles, column, self.guard, self.keep, lexicon)

    def _row(self, record: Record, roles: Roles, texts: dict[str, Passage]) -> Made:
        cells = changed_in(record, roles, texts)
        if not cells:
            return Made(record, None, "copies left out: the text came out as it was")
        if any(not str(cells[column]).strip() for column in cells if column in roles.texts):
            return Made(record, None, "copies left out: nothing came out")
        for column, made in texts.items() if self.whole else ():
            if why := lost(self._passage(record, roles, column), made.text):
                return Made(record, None, f"copies left out: {why}")
        return Made(record, replace(record, cells=record.cells | cells | {MADE: self.name}))


def passage_of(  # noqa: PLR0913
    record: Record, roles: Roles, column: str, guard: Sequence[Guard], keep: Sequence[str] = (),
    lexicon: frozenset[str] = frozenset(), *, within: bool = False,
) -> Passage:  # fmt: skip
    """A text of a row, with its tags where words carry some; `within`: words of spans may be changed, too."""
    tagged = None
    if roles.words is not None and roles.label is not None:
        flat: Any = record.cells[roles.words]
        tags: Any = record.cells[roles.label]
        tagged = list(zip(flat[::2], flat[1::2], strict=True)), tags
    return passage(text_of(record, column), guard, keep, tagged, lexicon, within=within)


def changed_in(record: Record, roles: Roles, texts: Mapping[str, Passage]) -> dict[str, Any]:
    """Cells of a row that other texts change: the texts, and the places and tags of their words."""
    cells: dict[str, Any] = {}
    for column, made in texts.items():
        if made.text != text_of(record, column):
            cells[column] = made.text
            if roles.words is not None and roles.label is not None:
                cells[roles.words], cells[roles.label] = made.words()
    return cells


def each(make: Callable[[Passage, Random], Passage]) -> Maker:
    """A maker of one text at a time."""
    return lambda texts, draws: [make(text, draw) for text, draw in zip(texts, draws, strict=True)]


def some_of(places: Sequence[int], rate: float, draw: Random) -> list[int]:
    """That share of the places, rounded up, in their order: a short text has one changed, too."""
    return sorted(draw.sample(list(places), min(len(places), math.ceil(rate * len(places))))) if places else []

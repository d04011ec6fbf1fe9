"""Texts as they come in use: mistyped, scanned, in capitals, without punctuation, cut short. For measuring alone.

    row -> the same row with other texts; its label stays, and so do the tags of its words

Mistakes are those of the step `noise`, made in the same way. What is drawn comes from (seed, perturbation, the row's
place and texts), so that a row gets the same mistakes whatever stands beside it. What no augmentation step changes is
not mistyped here either (numbers with units, codes, negations): the label must stay right.
"""

import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tunesmith.data import Record, Roles, stored
from tunesmith.data.ledger import Ledger
from tunesmith.data.roles import text_of
from tunesmith.data.segment import is_wide
from tunesmith.settings import Section
from tunesmith.steps._augmenting import ALL, changed_in, passage_of
from tunesmith.steps._making import drawn
from tunesmith.steps._passage import Passage, Unit, anew

Name = Literal["keyboard", "slip", "ocr", "sound", "shape", "upper", "lower", "punctuation", "cut"]
MISTAKES = ("keyboard", "slip", "ocr", "sound", "shape")
"""Those of the step `noise`."""
_WORDLESS = ("punctuation", "cut")
_KINDS = ("classes", "multilabel", "numbers", "tags")
Share = Annotated[float, Field(gt=0, le=1)]


class Perturbation(Section):
    """A way in which texts may come otherwise than they were trained on."""

    name: Name
    """keyboard: a letter beside the right one on QWERTY. slip: a letter left out, doubled, or two in the wrong order.
    ocr: what scanners confuse. sound, shape: Chinese characters that sound or look alike. upper, lower: the whole text.
    punctuation: none is left. cut: the beginning alone."""
    rate: Share | None = None
    """Of keyboard, slip, ocr, sound and shape: share of the words, or Chinese characters, that get a mistake, one at
    least in each text; 0.1 unless said."""
    keep: Share | None = None
    """Of cut: share of the words, or Chinese characters, that stay, from the first; 0.5 unless said."""

    @property
    def degree(self) -> float | None:
        """Its rate, or what it keeps; None where it has no degrees."""
        if self.name in MISTAKES:
            return 0.1 if self.rate is None else self.rate
        return (0.5 if self.keep is None else self.keep) if self.name == "cut" else None

    @property
    def label(self) -> str:
        """What it is called in results: `keyboard 0.1`."""
        return self.name if self.degree is None else f"{self.name} {self.degree:g}"

    def objection(self) -> str | None:
        """A setting without effect; None where each has one."""
        for field, owners in (("rate", MISTAKES), ("keep", ("cut",))):
            if getattr(self, field) is not None and self.name not in owners:
                return f"{field} has no effect on {self.name} (it belongs to {', '.join(owners)}). Remove it"
        return None

    def applied(self, records: Sequence[Record], roles: Roles, seed: int) -> tuple[Sequence[Record], int]:
        """(the rows with other texts, how many of them changed)."""
        counts: Counter[str] = Counter()

        def rows() -> Iterator[Record]:
            make = self._maker()
            for record in records:
                cells = self._cells(record, roles, seed, make)
                counts["changed"] += bool(cells)
                yield replace(record, cells=record.cells | cells) if cells else record

        made = stored.records(rows())
        return made, counts["changed"]

    def _cells(
        self, record: Record, roles: Roles, seed: int, make: Callable[[Passage, Random], Passage]
    ) -> dict[str, Any]:
        texts = {}
        for column in roles.texts:
            if text_of(record, column).strip():
                before = passage_of(record, roles, column, ALL, within=True)
                texts[column] = make(before, drawn(self.label, seed, record, roles, column))
        return changed_in(record, roles, texts)

    def _maker(self) -> Callable[[Passage, Random], Passage]:
        if self.name in MISTAKES:
            from tunesmith.steps.noise import Noise

            noisy = Noise.model_validate({"ways": [self.name], "rate": self.degree}).maker(Ledger(), None)
            return lambda text, draw: noisy([text], [draw])[0]
        if self.name == "cut":
            return lambda text, draw: _cut(text, self.degree or 1)
        if self.name == "punctuation":
            return lambda text, draw: _bare(text)
        case = str.upper if self.name == "upper" else str.lower
        return lambda text, draw: text.changed({i: case(unit.text) for i, unit in enumerate(text.units)}, one=True)


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Perturbations = tuple[Annotated[Perturbation, BeforeValidator(_named)], ...]


def usual(kind: str) -> tuple[Perturbation, ...]:
    """What `robustness: true` means for answers of a kind."""
    written = [Perturbation(name=name) for name in (*MISTAKES, "upper", "lower", "punctuation", "cut")]
    found = [*written, Perturbation(name="cut", keep=0.1)]
    return tuple(each for each in found if kind != "tags" or each.name not in _WORDLESS)


def objection(asked: bool | Sequence[Perturbation], task: Any) -> str | None:
    """Why the answers of a task cannot be measured under these perturbations; None where they can."""
    if not asked:
        return None
    if task.sees or task.hears or task.kind not in _KINDS:
        return (
            f"robustness changes the texts of rows that have a label or tags, and task {task.name} has none such. "
            "Remove it"
        )
    some = usual(task.kind) if isinstance(asked, bool) else asked
    for each in some:
        if text := each.objection():
            return f"robustness: {text}"
        if task.kind == "tags" and each.name in _WORDLESS:
            return f"robustness: {each.name} takes words away, and their tags with them. Take it out of the list"
    labels = [each.label for each in some]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    return f"robustness: {', '.join(twice)} stands twice. Keep one of them" if twice else None


def _cut(text: Passage, share: float) -> Passage:
    """The first words, one at least; what is guarded is one word."""
    count = max(1, math.ceil(round(share * len(text.units), 9)))
    return text if count >= len(text.units) else anew(Passage(text.units[:count]).text)


def _bare(text: Passage) -> Passage:
    """Without signs; words that one stood between stay apart. A text of signs alone stays as it is."""
    kept, gap, gone = list[str](), "", 0
    for unit in text.units:
        gap = max(gap, unit.gap, key=len) if kept else ""
        if _is_sign(unit):
            gone += 1
            continue
        touching = kept and not gap and not is_wide(unit.text)
        kept.append((" " if touching and gone and not is_wide(kept[-1][-1]) else gap) + unit.text)
        gap, gone = "", 0
    return anew("".join(kept)) if kept and any(map(_is_sign, text.units)) else text


def _is_sign(unit: Unit) -> bool:
    return all(unicodedata.category(c)[0] == "P" for c in unit.text)

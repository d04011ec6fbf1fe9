"""Rows that are the same but for how they are written: across splits, with other labels, and labels themselves."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunesmith import scratch
from tunesmith.data import alike
from tunesmith.data.record import Record, Roles
from tunesmith.data.roles import label_of, number_of, text_of
from tunesmith.data.rows import Index, chosen

_SPACE = re.compile(r"\s+")
_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u00ad]")


def normal(text: str) -> str:
    """A text as it is compared: NFKC, case folded, runs of whitespace one space, invisible marks gone.

    Digits and punctuation stay: "pressure < 0.3" and "pressure > 0.3" are two texts. Chinese stays as it is,
    but for full-width letters and signs, which become the usual ones.
    """
    if text.isascii():  # the same, ten times as fast
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).casefold())
    return _SPACE.sub(" ", folded).strip()


def key(record: Record, roles: Roles, *, exact: bool = False, within: bool = False) -> tuple[str, ...]:
    """What makes an input: its texts (normalised unless exact) and its side columns as they are. Of several tasks the
    texts alone; `within` a task, which task it is and its side columns, too."""
    texts = (text_of(record, column) for column in roles.texts)
    whole = roles.task is None or within
    side = (*roles.further, *((roles.task,) if roles.task else ())) if whole else ()
    return (*(text if exact else normal(text) for text in texts), *(repr(record.cells.get(c)) for c in side))


def answer(record: Record, roles: Roles) -> str | float | None:
    """The label of a row in a form that can be compared; None where there is none. A label set is compared as text."""
    if roles.label is None:
        return None
    if roles.numeric_label:
        return number_of(record, roles.label)
    value = record.cells.get(roles.label)
    return repr(value) if isinstance(value, list | dict) else label_of(record, roles.label)


def inputs(records: Iterable[Record], roles: Roles, *, exact: bool = False, within: bool = False) -> alike.Digests:
    """A digest of the input of each row; of none where no column makes an input."""
    growing = alike.Growing()
    for record in records if roles.texts or roles.side else ():
        growing.add(alike.digest(key(record, roles, exact=exact, within=within)))
    return growing.done()


def shared(one: alike.Digests, other: alike.Digests) -> Index:
    """(len(other.high),): for each row of `other` the first row of `one` that is the same input, or -1."""
    size = len(one.high)
    found = alike.first_alike(alike.joined(one, other))[size:]
    for part in scratch.blocks(len(found)):
        found[part][found[part] >= size] = -1
    return found


def overlap(train: Sequence[Record], held_out: Sequence[Record], roles: Roles) -> list[tuple[Record, Record]]:
    """Pairs (first training row, held-out row) that are one input but for case, spaces and Unicode forms."""
    if not held_out:
        return []
    first = shared(inputs(train, roles), inputs(held_out, roles))
    return [(train[int(first[i])], held_out[i]) for i in np.flatnonzero(first >= 0).tolist()]


class Twins(NamedTuple):
    """The R rows of a sequence that share their input with another row, in order."""

    rows: Index
    """(R,): their places."""
    first: Index
    """(R,): the first row with that input."""
    same: Index
    """(R,): the first row with that input and the same label."""

    @property
    def repeats(self) -> int:
        """How many of them stand behind a row with the same input and label."""
        return sum(int((self.same[part] != self.rows[part]).sum()) for part in scratch.blocks(len(self.rows)))

    @property
    def clash(self) -> NDArray[np.bool_]:
        """(R,): whether the rows with that input disagree on the label."""
        return scratch.taken(self._disagrees(), self.first)

    @property
    def clashing(self) -> Index:
        """The first rows of the inputs whose rows disagree on the label, in order."""
        return scratch.where(self._disagrees())

    def _disagrees(self) -> NDArray[np.bool_]:
        """Whether each row of the sequence, up to the last of these, is the first of an input with several labels."""
        found = scratch.room(int(self.rows[-1]) + 1 if len(self.rows) else 0, np.bool_)
        for part in scratch.blocks(len(self.rows)):
            first = self.first[part]
            found[first[self.same[part] != first]] = True
        return found

    def members(self, first: int) -> Index:
        """All rows of the input whose first row that is."""
        return np.asarray(self.rows[self.first == first])


def twins(records: Sequence[Record], roles: Roles, *, exact: bool = False) -> Twins:
    """Which rows share their input, and which of those their label, too."""
    first = alike.first_alike(inputs(records, roles, exact=exact, within=True))
    flags = scratch.room(len(first), np.bool_)
    for part in scratch.blocks(len(first)):
        repeated = first[part] != np.arange(part.start, part.stop)
        flags[part] |= repeated
        flags[first[part][repeated]] = True
    rows = scratch.where(flags)
    first = scratch.taken(first, rows)
    labelled = alike.Growing()
    for place, record in zip(first, chosen(records, rows), strict=True):
        labelled.add(alike.digest((str(place), _spelled(answer(record, roles)))))
    return Twins(rows, first, scratch.taken(rows, alike.first_alike(labelled.done())))


def _spelled(value: str | float | None) -> str:
    """An answer as text: equal answers give equal texts."""
    return repr(value + 0.0) if isinstance(value, float) else repr(value)  # 0.0 and -0.0 are one number


def conflicts(records: Sequence[Record], roles: Roles) -> list[Sequence[Record]]:
    """Groups of rows that share one input and disagree on the label."""
    found = twins(records, roles)
    return [chosen(records, found.members(first)) for first in found.clashing.tolist()]


def label_twins(labels: Iterable[str]) -> list[tuple[str, ...]]:
    """Spellings that are probably one label ("Leak", "leak "; 1, 01, 1.0). They are told, never merged."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for label in labels:
        found[_spelling(label)].add(label)
    return sorted(tuple(sorted(same)) for same in found.values() if len(same) > 1)


def _spelling(label: str) -> str:
    text = normal(label)
    if re.fullmatch(r"[+-]?\d+(\.\d+)?", text, re.ASCII):
        whole, _, part = text.lstrip("+-").partition(".")
        return f"{'-' * text.startswith('-')}{whole.lstrip('0') or '0'}.{part.rstrip('0')}"
    return re.sub(r"[\s_\-]+", " ", text).strip() or text


def rows_shown(records: Sequence[Record], most: int = 5, count: int | None = None) -> str:
    """Places of rows for a message: file:line, at most five, of `count` rows."""
    count = len(records) if count is None else count
    places = [r.place for r in records[:most]]
    return ", ".join(places) + (f" and {count - most} more" if count > most else "")


class Hits:
    """Rows that something was found in: how many, and where the first of them stand."""

    def __init__(self) -> None:
        self.count, self.first = 0, list[Record]()

    def add(self, record: Record) -> None:
        """One more row."""
        self.count += 1
        if self.count <= 5:
            self.first.append(record)

    @property
    def shown(self) -> str:
        """Places of the first rows."""
        return rows_shown(self.first, count=self.count)

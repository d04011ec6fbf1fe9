"""Near-duplicates of a pool of rows, taken away for `dedup`. Flat memory: a group may be most of the rows."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith import scratch
from tunesmith.data import alike, near
from tunesmith.data.ledger import Ledger
from tunesmith.data.overlap import answer
from tunesmith.data.record import Record, Roles
from tunesmith.data.rows import Index, chosen, ids
from tunesmith.errors import TunesmithError

_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_LONGEST = (1 << 40) - 1


class NearGroups:
    """The groups of a pool that near twins link, and which of them disagree on the label."""

    def __init__(self, records: Sequence[Record], roles: Roles, similarity: float) -> None:
        if text := near.objection(roles):
            raise TunesmithError(f"steps.dedup.by: {text}. Write by: normalised")
        self.records = records
        self.found = near.groups(records, roles, similarity)
        self._labels = scratch.filled(_numbers(records, roles), len(records), np.uint64)
        self.clashing = 0
        """Groups whose rows carry different labels."""
        self._first: list[Index] = []
        for rows in self.found.members():
            if self._clash(rows):
                self.clashing += 1
                self._first += [rows] if self.clashing <= 5 else []

    def _clash(self, rows: Index) -> bool:
        known = {0}
        for part in scratch.blocks(len(rows)):
            known.update(np.unique(self._labels[rows[part]]).tolist())
            if len(known) > 2:
                return True
        return False

    def shown(self) -> list[Sequence[Record]]:
        """The rows with a label of the first five groups that disagree."""
        return [chosen(self.records, rows[self._labels[rows] > 0]) for rows in self._first]

    def taken_away(self, ledger: Ledger, *, clashing_too: bool) -> Index:
        """The places of the rows that stay, in order; the others are marked. `clashing_too`: all rows of groups that
        disagree leave."""
        known, stays = ids(self.records), scratch.room(len(self.records), np.bool_, 1)
        copies = Copies(self.found, self._labels)
        for members in self.found.members():
            if clashing_too and self._clash(members):
                for row in members:
                    ledger.mark(int(known[row]), "dropped", "dedup: near-duplicates carry different labels")
                stays[members] = False
                continue
            for row, twin, score in copies.among(members):
                reason = f"dedup: near-duplicate of a row with its label, similarity {int(score * 100) / 100:.2f}"
                ledger.mark(int(known[row]), "duplicate", reason, of=int(known[twin]))
                stays[row] = False
        return scratch.where(stays)


def _numbers(records: Iterable[Record], roles: Roles) -> Iterator[int]:
    """Labels as numbers that can be compared; 0 where one is missing or empty."""
    label, known = roles.label, dict[Any, int]()
    for record in records:
        bare = label is None or record.cells.get(label) in (None, "")
        value = None if bare else repr(answer(record, roles))
        if value not in known:
            if len(known) > 1000:  # labels that are numbers may all differ
                known.clear()
            known[value] = 0 if value is None else int.from_bytes(alike.digest([value])[:8], "little") | 1
        yield known[value]


class Copies:
    """Which rows of a group are near copies of rows that stay: the better row stays."""

    def __init__(self, groups: near.Groups, labels: NDArray[np.uint64]) -> None:
        """`labels`, (N,): of each row, as numbers; 0 for none."""
        self._inputs, self._similarity, self._labels = groups.inputs, groups.similarity, labels
        mixed = scratch.room(len(labels), np.uint64)
        for part in scratch.blocks(len(labels)):
            mixed[part] = self._inputs.first[part].astype(np.uint64) * _SPREAD
        self._same = alike.first_alike(alike.Digests(mixed, labels))
        """(N,): the first row with the same input and label."""
        self._ends = scratch.room(len(labels), np.int64, -1)
        """(N,): the row that a row which left is a copy of."""

    def among(self, members: Index) -> Iterator[tuple[int, int, float]]:
        """(row, row that it is a near copy of, similarity): each row that is a near twin of a row that stays and has
        the same label, or has none itself."""
        kept: dict[int, list[int]] = {}  # the first rows that stay of each label, and under 0 of any
        ordered = self._better_first(members)
        for part in scratch.blocks(len(members)):
            for row in ordered[part].tolist():
                label = int(self._labels[row])
                if found := self._copy(row, kept.get(label, [])):
                    self._ends[row] = found[0]
                    yield row, *found
                    continue
                for which in {label, 0}:
                    if len(kept.setdefault(which, [])) < near.TRIES:
                        kept[which].append(row)

    def _better_first(self, members: Index) -> Index:
        """A row with a label before one without, then the longer text, then the first."""
        worth = scratch.room(len(members), np.int64)
        for part in scratch.blocks(len(members)):
            rows = members[part]
            worth[part] = (self._labels[rows] == 0) * (_LONGEST + 1) + _LONGEST - self._inputs.sizes[rows]
        return scratch.taken(members, scratch.order(worth))

    def _copy(self, row: int, kept: Sequence[int]) -> tuple[int, float] | None:
        """(the row that stays, similarity)."""
        same, score = int(self._same[row]), self._inputs.score
        if same != row:  # it was looked at before, however many rows stay
            twin = int(self._ends[same]) if self._ends[same] >= 0 else same
            return twin, score(twin, row, self._similarity)
        scores = ((twin, score(twin, row, self._similarity)) for twin in kept)
        return next((found for found in scores if found[1] >= self._similarity), None)

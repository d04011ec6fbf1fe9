"""Near-duplicates of a pool of rows, taken away for `dedup`."""

from collections.abc import Iterator, Sequence

import numpy as np

from tunesmith import scratch
from tunesmith.data import near
from tunesmith.data.ledger import Ledger
from tunesmith.data.overlap import answer
from tunesmith.data.record import Record, Roles
from tunesmith.data.rows import Index, chosen, ids
from tunesmith.errors import TunesmithError


class NearGroups:
    """The groups of a pool that near twins link, and which of them disagree on the label."""

    def __init__(self, records: Sequence[Record], roles: Roles, similarity: float) -> None:
        if text := near.objection(roles):
            raise TunesmithError(f"steps.dedup.by: {text}. Write by: normalised")
        self.records, self.roles = records, roles
        self.found = near.groups(records, roles, similarity)
        self.clashing = [rows for rows in self.found.members() if len({*self._labels(rows)} - {None}) > 1]

    def _labels(self, members: Sequence[int]) -> list[str | None]:
        """Labels in a form that can be compared; None where one is missing or empty."""
        label, out = self.roles.label, list[str | None]()
        for record in chosen(self.records, np.array(members)):
            bare = label is None or record.cells.get(label) in (None, "")
            out.append(None if bare else repr(answer(record, self.roles)))
        return out

    def shown(self) -> list[Sequence[Record]]:
        """The rows with a label of the first five groups that disagree."""
        labels = [self._labels(rows) for rows in self.clashing[:5]]
        some = zip(self.clashing, labels, strict=False)
        return [chosen(self.records, np.array([r for r, n in zip(*one, strict=True) if n is not None])) for one in some]

    def taken_away(self, ledger: Ledger, *, clashing_too: bool) -> Index:
        """The places of the rows that stay, in order; the others are marked. `clashing_too`: all rows of groups that
        disagree leave."""
        known, stays = ids(self.records), scratch.room(len(self.records), np.bool_, 1)
        gone = {rows[0] for rows in self.clashing} if clashing_too else set[int]()
        for members in self.found.members():
            if members[0] in gone:
                for row in members:
                    ledger.mark(int(known[row]), "dropped", "dedup: near-duplicates carry different labels")
                stays[members] = False
                continue
            for row, twin, score in self._copies(members):
                reason = f"dedup: near-duplicate of a row with its label, similarity {int(score * 100) / 100:.2f}"
                ledger.mark(int(known[row]), "duplicate", reason, of=int(known[twin]))
                stays[row] = False
        return scratch.where(stays)

    def _copies(self, members: list[int]) -> Iterator[tuple[int, int, float]]:
        """Rows of a group to leave: the better ones come first, and stay."""
        labels, sizes = self._labels(members), self.found.inputs.sizes[members]
        order = sorted(range(len(members)), key=lambda i: (labels[i] is None, -sizes[i], members[i]))
        return self.found.copies([members[i] for i in order], [labels[i] for i in order])

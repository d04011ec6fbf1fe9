"""Take repeated rows away: one input with one label stays once."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tunesmith import scratch
from tunesmith.data import near
from tunesmith.data.format import counted
from tunesmith.data.ledger import Ledger
from tunesmith.data.overlap import Twins, answer, rows_shown, twins
from tunesmith.data.record import Record, Roles
from tunesmith.data.rows import Index, chosen, ids
from tunesmith.errors import TunesmithError
from tunesmith.steps import Scope, Step
from tunesmith.steps._near import NearGroups


class Dedup(Step):
    """Works before the split, so that no row can stand in train and test at once.

    Of rows that are the same the first stays. Of near-duplicates (`by: near`) the better one stays: a row with a label
    before one without, then the longer text, then the first; a row leaves only as a near twin of a row that stays and
    has its label, and the ledger names that row and the similarity.
    """

    name: Literal["dedup"] = "dedup"
    by: Literal["normalised", "exact", "near"] = "normalised"
    """normalised: texts are compared without case, extra spaces and Unicode variants; exact: letter by letter; near:
    texts that differ in a few characters or words are one, too."""
    similarity: Annotated[float, Field(ge=near.LEAST, lt=1)] = near.SIMILARITY
    """near: the share of characters or of words, whichever is larger, that need no edit between two texts of one."""
    conflicts: Literal["keep", "drop", "refuse"] = "keep"
    """Rows with one text (near: a group of near twins) and different labels: keep one row of each label, drop them all,
    or stop and name them."""

    scope: ClassVar[Scope] = "pool"
    prefer: ClassVar[str] = "Always, after clean; without it repeated rows make test results too good."

    def objection(self, plan: Any) -> str | None:
        names = [step.name for step in plan.steps]
        if "clean" in names[names.index("dedup") :]:
            return "dedup stands before clean, so rows that cleaning makes equal would stay. Write clean before dedup"
        if self.by != "near" and self.similarity != near.SIMILARITY:
            return f"similarity has no effect with by: {self.by}. Write by: near, or leave it out"
        return None

    def run(self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int) -> Sequence[Record]:
        if self.by == "near":
            return self._near(records, roles, ledger)
        found = twins(records, roles, exact=self.by == "exact")
        clashing = found.clashing
        self._refuse(records, roles, found, clashing)
        dropped = found.clash if self.conflicts == "drop" else scratch.room(len(found.rows), np.bool_)
        known, stays = ids(records), scratch.room(len(records), np.bool_, 1)
        for part in scratch.blocks(len(found.rows)):
            repeats = found.same[part] != found.rows[part]
            for i in (np.flatnonzero(dropped[part] | repeats) + part.start).tolist():
                row, original = int(found.rows[i]), int(found.same[i])
                if dropped[i]:
                    ledger.mark(int(known[row]), "dropped", "dedup: the same text carries different labels")
                else:
                    reason = f"dedup: same text and label ({self.by})"
                    ledger.mark(int(known[row]), "duplicate", reason, of=int(known[original]))
                stays[row] = False
        if len(clashing) and self.conflicts == "keep":
            ledger.changed(self.name, "texts with different labels kept", len(clashing))
        return chosen(records, scratch.where(stays))

    def _refuse(self, records: Sequence[Record], roles: Roles, found: Twins, clashing: Index) -> None:
        if self.conflicts == "refuse" and len(clashing):
            groups = [chosen(records, found.members(first)) for first in clashing[:5].tolist()]
            raise _refused(groups, roles, counted(len(clashing), "text carries", "texts carry"))

    def _near(self, records: Sequence[Record], roles: Roles, ledger: Ledger) -> Sequence[Record]:
        found = NearGroups(records, roles, self.similarity)
        clashing = found.clashing
        if clashing and self.conflicts == "refuse":
            told = counted(clashing, "group of near-duplicates carries", "groups of near-duplicates carry")
            raise _refused(found.shown(), roles, told)
        stays = found.taken_away(ledger, clashing_too=self.conflicts == "drop")
        if clashing and self.conflicts == "keep":
            ledger.changed(self.name, "groups of near-duplicates with different labels kept", clashing)
        if found.found.crowded:
            ledger.changed(self.name, "rows too common in wording to be compared with all others", found.found.crowded)
        return chosen(records, stays)


def _refused(groups: list[Sequence[Record]], roles: Roles, what: str) -> TunesmithError:
    shown = "; ".join(f"{rows_shown(rows)}: {sorted({str(answer(r, roles)) for r in rows})}" for rows in groups)
    return TunesmithError(
        f"steps.dedup: {what} different labels: {shown}. Correct them, or set conflicts: keep or drop"
    )

"""Take repeated rows away: one input with one label stays once, as its first row."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from tunesmith import scratch
from tunesmith.data.ledger import Ledger
from tunesmith.data.overlap import Twins, answer, rows_shown, twins
from tunesmith.data.record import Record, Roles
from tunesmith.data.rows import Index, chosen, ids
from tunesmith.errors import TunesmithError
from tunesmith.steps import Scope, Step


class Dedup(Step):
    """Works before the split, so that no row can stand in train and test at once."""

    name: Literal["dedup"] = "dedup"
    by: Literal["normalised", "exact"] = "normalised"
    """normalised: texts are compared without case, extra spaces and Unicode variants; exact: letter by letter."""
    conflicts: Literal["keep", "drop", "refuse"] = "keep"
    """Rows with one text and different labels: keep one row of each label, drop them all, or stop and name them."""

    scope: ClassVar[Scope] = "pool"
    prefer: ClassVar[str] = "Always, after clean; without it repeated rows make test results too good."

    def objection(self, plan: Any) -> str | None:
        names = [step.name for step in plan.steps]
        if "clean" in names[names.index("dedup") :]:
            return "dedup stands before clean, so rows that cleaning makes equal would stay. Write clean before dedup"
        return None

    def run(self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int) -> Sequence[Record]:
        found = twins(records, roles, exact=self.by == "exact")
        clashing = found.clashing
        self._refuse(records, roles, found, clashing)
        dropped = found.clash if self.conflicts == "drop" else np.zeros(len(found.rows), dtype=bool)
        known, stays = ids(records), scratch.room(len(records), np.bool_, 1)
        for i in np.flatnonzero(dropped | found.repeats).tolist():
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
        if self.conflicts != "refuse" or not len(clashing):
            return
        groups = [chosen(records, found.members(first)) for first in clashing[:5].tolist()]
        shown = "; ".join(f"{rows_shown(rows)}: {sorted({str(answer(r, roles)) for r in rows})}" for rows in groups)
        raise TunesmithError(
            f"steps.dedup: {len(clashing)} texts carry different labels: {shown}. "
            "Correct them, or set conflicts: keep or drop"
        )

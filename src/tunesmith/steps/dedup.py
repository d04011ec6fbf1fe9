"""Take repeated rows away: one input with one label stays once, as its first row."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from tunesmith.data.ledger import Ledger
from tunesmith.data.overlap import answer, groups, rows_shown
from tunesmith.data.record import Record, Roles
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

    def run(self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int) -> list[Record]:
        gone: set[int] = set()
        same = groups(records, roles, exact=self.by == "exact")
        self._refuse(same, roles)
        for rows in same:
            first: dict[Any, Record] = {}
            for record in rows:
                first.setdefault(answer(record, roles), record)
            clash = len(first) > 1
            for record in rows:
                original = first[answer(record, roles)]
                if clash and self.conflicts == "drop":
                    ledger.mark(record.id, "dropped", "dedup: the same text carries different labels")
                elif original is record:
                    continue
                else:
                    ledger.mark(record.id, "duplicate", f"dedup: same text and label ({self.by})", of=original.id)
                gone.add(record.id)
            if clash and self.conflicts == "keep":
                ledger.changed(self.name, "texts with different labels kept")
        return [record for record in records if record.id not in gone]

    def _refuse(self, same: list[list[Record]], roles: Roles) -> None:
        clash = [rows for rows in same if len({answer(r, roles) for r in rows}) > 1]
        if self.conflicts != "refuse" or not clash:
            return
        shown = "; ".join(f"{rows_shown(rows)}: {sorted({str(answer(r, roles)) for r in rows})}" for rows in clash[:5])
        raise TunesmithError(
            f"steps.dedup: {len(clash)} texts carry different labels: {shown}. "
            "Correct them, or set conflicts: keep or drop"
        )

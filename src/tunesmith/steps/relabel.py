"""Apply decisions about labels: keep what stands, write another label, or take the row out."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from tunesmith.data import stored
from tunesmith.data.format import excerpt
from tunesmith.data.ledger import Ledger
from tunesmith.data.record import SOFT, Record, Roles
from tunesmith.data.roles import label_of
from tunesmith.errors import TunesmithError, unknown
from tunesmith.steps import Memory, Scope, Step
from tunesmith.steps._fixes import Fix, Place, placed, read_fixes, require_same

WORDS = ("keep", "drop")


class Relabel(Step):
    """Training rows alone: what is judged on is put right in its own file, where everyone can see it."""

    name: Literal["relabel"] = "relabel"
    file: str
    """Decisions, as `tunesmith data labels` lists rows to decide about; `=keep` and `=drop` are labels of that name."""
    new_labels: Literal["refuse", "allow"] = "refuse"
    """A decision for a label that no row has: stop and name it, for it may be a slip of the pen, or take it."""

    scope: ClassVar[Scope] = "pool"
    prefer: ClassVar[str] = "Labels that somebody has looked at again; the data file stays as it is."
    file_settings: ClassVar[tuple[str, ...]] = ("file",)
    memory: ClassVar[Memory] = "grows"
    holds: ClassVar[str] = (
        "every decision of its file, about eight times the size of the file, to find each by the place of its row; "
        "rows without a decision cost nothing"
    )

    def objection(self, plan: Any) -> str | None:
        if plan.task.kind != "classes" or plan.task.two_domains:
            return f"relabel needs one class a row from one pool, and task {plan.task.name} has others. Take it out"
        names = [step.name for step in plan.steps]
        if names.count(self.name) > 1:
            return "relabel stands twice in steps. Put all decisions into one file"
        if "dedup" in names[: names.index(self.name)]:
            return "relabel stands behind dedup, which compares labels. Write it before dedup"
        if "clean" in names[names.index(self.name) :]:
            return "relabel stands before clean, which runs before it all the same. Write clean first"
        return None

    def held(self, rows: int) -> int:
        return 8 * sum(file.stat().st_size for file in self.files())

    def run(self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int) -> Sequence[Record]:
        if roles.label is None:
            raise TunesmithError("steps.relabel: the rows carry no label. Take relabel out of steps")
        labels: set[str] = set()
        sources: dict[str, None] = {}
        for record in records:
            labels.add(label_of(record, roles.label))
            sources[record.source] = None
        fixes = read_fixes(self.file)
        for fix in fixes:
            self._require_known(fix, labels)
        left = placed(fixes, sources)
        found = stored.records(self._applied(records, roles, roles.label, left, ledger))
        if left:
            fix = next(iter(left.values()))
            raise TunesmithError(
                f"{fix.place}: no training row of {fix.source or 'the file'} is row {fix.row} ({len(left)} such "
                "decisions). It may have left as malformed, or the file is a shorter one by now"
            )
        return found

    def _require_known(self, fix: Fix, labels: set[str]) -> None:
        if fix.decision in WORDS and fix.decision in labels:
            raise TunesmithError(
                f"{fix.place}: '{fix.decision}' is a label of these data, too. Write '={fix.decision}' for the label, "
                "or rename it in the data"
            )
        asked = _label(fix)
        if asked is not None and asked not in labels and self.new_labels == "refuse":
            told = unknown("label", excerpt(asked), labels)
            raise TunesmithError(f"{fix.place}: {told}. If it is meant, write new_labels: allow")

    def _applied(
        self, records: Sequence[Record], roles: Roles, column: str, left: dict[Place, Fix], ledger: Ledger
    ) -> Iterator[Record]:
        """Rows with their labels put right; decisions that were met are taken out of `left`."""
        for record in records:
            fix = left.pop((record.source, record.row), None)
            if fix is None:
                yield record
                continue
            label = label_of(record, column)
            require_same(fix, record, roles, label)
            asked = _label(fix)
            if fix.decision == "drop":
                ledger.mark(record.id, "dropped", f"relabel: dropped by {fix.place}")
            elif asked is not None and asked != label:
                ledger.changed(self.name, "labels changed")
                yield replace(record, cells={k: v for k, v in record.cells.items() if k != SOFT} | {column: asked})
            else:
                ledger.changed(
                    self.name, "labels kept" if fix.decision else "rows without a decision, left as they are"
                )
                yield record


def _label(fix: Fix) -> str | None:
    """The label that is asked for, if one is."""
    return None if fix.decision in ("", *WORDS) else fix.decision.removeprefix("=")

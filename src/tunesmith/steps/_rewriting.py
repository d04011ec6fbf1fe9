"""What steps share that rewrite the texts of each row, one text at a time, held-out rows and rows to answer too; of a
conversation every message."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast

from tunesmith.data import stored
from tunesmith.data.ledger import Ledger
from tunesmith.data.record import Cell, Record, Roles
from tunesmith.data.roles import in_columns
from tunesmith.errors import TunesmithError
from tunesmith.steps import Scope, Step


class Rewriting(Step):
    """A pure function of a text. What it did is counted in the ledger."""

    scope: ClassVar[Scope] = "every_row"
    rewrites: ClassVar[bool] = True
    asks_task: ClassVar[bool] = True

    @abstractmethod
    def tidy(self, text: str) -> tuple[str, Counter[str]]:
        """A text as it goes on, and how often what was done to it."""

    def for_row(self) -> Callable[[str], tuple[str, Counter[str]]]:
        """What rewrites the texts of one row, in their order; a step that remembers within a row makes a new one."""
        return self.tidy

    def spoils(self) -> str | None:
        return None

    def run(
        self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int, task: Any = None
    ) -> Sequence[Record]:
        cells_of = in_columns if task is None else task.rewritten
        made = stored.records(self._row(record, roles, ledger, cells_of) for record in records)
        if task is None:
            return made
        try:
            return cast("Sequence[Record]", task.reread(made, roles))
        except TunesmithError as error:
            raise TunesmithError(f"steps.{self.name}: what it leaves of a row cannot be read: {error}") from error

    def _row(self, record: Record, roles: Roles, ledger: Ledger, cells_of: Callable[..., dict[str, Cell]]) -> Record:
        tidy, counts = self.for_row(), Counter[str]()

        def put(text: str) -> str:
            after, found = tidy(text)
            counts.update(found)
            return after

        changed = cells_of(record, roles, put)
        for what, times in counts.items():
            ledger.changed(self.name, what, times)
        if not changed:
            return record
        ledger.changed(self.name, "rows")
        return replace(record, cells=record.cells | changed)


def rewriter(steps: Iterable[Step]) -> Callable[[str], str]:
    """What the steps among these that rewrite make of the texts of one row that comes by itself, in their order."""
    ways = [step.for_row() for step in steps if isinstance(step, Rewriting)]

    def put(text: str) -> str:
        for way in ways:
            text, _ = way(text)
        return text

    return put

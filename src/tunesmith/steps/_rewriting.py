"""What steps share that rewrite the texts of each row, one text at a time, held-out rows and rows to answer too."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

from tunesmith.data import stored
from tunesmith.data.ledger import Ledger
from tunesmith.data.record import Cell, Record, Roles
from tunesmith.data.roles import text_of
from tunesmith.steps import Scope, Step


class Rewriting(Step):
    """A pure function of a text. What it did is counted in the ledger."""

    scope: ClassVar[Scope] = "every_row"
    rewrites: ClassVar[bool] = True

    @abstractmethod
    def tidy(self, text: str) -> tuple[str, Counter[str]]:
        """A text as it goes on, and how often what was done to it."""

    def for_row(self) -> Callable[[str], tuple[str, Counter[str]]]:
        """What rewrites the texts of one row, in their order; a step that remembers within a row makes a new one."""
        return self.tidy

    def run(self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int) -> Sequence[Record]:
        return stored.records(self._row(record, roles, ledger) for record in records)

    def _row(self, record: Record, roles: Roles, ledger: Ledger) -> Record:
        changed: dict[str, Cell] = {}
        tidy = self.for_row()
        for column in roles.texts if not roles.wordless else ():
            before = text_of(record, column)
            after, counts = tidy(before)
            for what, times in counts.items():
                ledger.changed(self.name, what, times)
            if after != before:
                changed[column] = after
        if not changed:
            return record
        ledger.changed(self.name, "rows")
        return replace(record, cells=record.cells | changed)

"""What steps share that open a file for each row."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from tunesmith.data.ledger import Ledger
from tunesmith.data.opening import Unreadable, path_of
from tunesmith.data.overlap import rows_shown
from tunesmith.data.record import Record, Roles
from tunesmith.errors import TunesmithError


class Opened(Protocol):
    """What was found in a file."""

    @property
    def changes(self) -> tuple[str, ...]:
        """What was done to it."""

    @property
    def digest(self) -> str:
        """What makes two files one input."""


class Opens(Protocol):
    """A step that opens files."""

    @property
    def name(self) -> str:
        """As a plan has it."""

    @property
    def on_bad(self) -> str:
        """refuse or drop."""


def opened(
    records: Sequence[Record], roles: Roles, digest: str, look: Callable[[Path], Opened], ledger: Ledger, step: Opens
) -> Iterator[Record]:  # fmt: skip
    """Rows with the whole path of their file in its column, and beside it the digest of what is in it."""
    column = roles.file
    assert column is not None, "the plan's rules see to it"
    for record in records:
        if roles.fileless and record.cells.get(column) in (None, ""):
            ledger.changed(step.name, "a row without a file")
            yield replace(record, cells=record.cells | {column: "", digest: ""})
            continue
        path = path_of(record, column)
        try:
            found = look(path)
        except Unreadable as error:
            if step.on_bad == "refuse":
                raise TunesmithError(
                    f"{rows_shown([record])}: {path}: {error}. Mend it, or write steps: [{{name: {step.name}, on_bad: "
                    "drop}, dedup]"
                ) from None
            ledger.mark(record.id, "dropped", f"{step.name}: {error}")
            continue
        for change in found.changes:
            ledger.changed(step.name, change)
        yield replace(record, cells=record.cells | {column: str(path), digest: found.digest})

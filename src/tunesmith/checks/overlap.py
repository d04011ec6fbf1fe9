"""Held-out rows that are training rows, too."""

from collections.abc import Iterable
from typing import Literal

from tunesmith.checks import Check, Finding, Seen
from tunesmith.data.format import counted
from tunesmith.data.overlap import overlap, rows_shown


class Overlap(Check):
    """Rows of one input on both sides, up to case, spaces and Unicode forms."""

    name: Literal["overlap"] = "overlap"

    def look(self, seen: Seen) -> Iterable[Finding]:
        if pairs := overlap(seen.records, seen.held_out, seen.roles):
            told = counted(len(pairs), "held-out row is also a training row", "held-out rows are also training rows")
            told += f" (first: {rows_shown(pairs[0])}). "
            yield Finding("overlap", len(pairs), seen.input, "error", told + "Remove them from one of the files")

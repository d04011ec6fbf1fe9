"""Rows without a text or a label, which would stop a training."""

from collections.abc import Iterable, Sequence
from math import isnan
from typing import ClassVar, Literal

import numpy as np

from tunesmith import scratch
from tunesmith.checks import Check, Finding, Seen
from tunesmith.data.format import counted
from tunesmith.data.overlap import Hits
from tunesmith.data.record import Cell, Record, Roles
from tunesmith.data.rows import chosen


class MissingValue(Check):
    """A cell without a value is not a text without words: the second is kept, and told as empty."""

    name: Literal["missing_value"] = "missing_value"
    first: ClassVar[bool] = True

    def look(self, seen: Seen) -> Iterable[Finding]:
        blank = {column: Hits() for column in _asked(seen.roles)}
        for record in seen.records:
            for column in _lacking(record, seen.roles):
                blank[column].add(record)
        for column, hits in blank.items():
            if hits.count:
                told = counted(hits.count, "row has", "rows have") + f" no value (first: {hits.shown}). "
                told += "Fill it in, or leave the rows out"
                yield Finding("missing_value", hits.count, column, "error", told)


def whole_rows(records: Sequence[Record], roles: Roles) -> Sequence[Record]:
    """The rows that have all texts and a label."""
    whole = scratch.room(len(records), np.bool_, 1)
    lacking = 0
    for i, record in enumerate(records):
        if _lacking(record, roles):
            whole[i] = False
            lacking += 1
    return chosen(records, scratch.where(whole)) if lacking else records


def _asked(roles: Roles) -> tuple[str, ...]:
    return (*roles.texts, *([roles.label] if roles.label else []))


def _lacking(record: Record, roles: Roles) -> list[str]:
    return [c for c in _asked(roles) if _is_missing(record.cells.get(c), empty_too=c == roles.label)]


def _is_missing(value: Cell, empty_too: bool) -> bool:
    return (
        value is None
        or (isinstance(value, float) and isnan(value))
        or (empty_too and isinstance(value, str) and not value.strip())
    )

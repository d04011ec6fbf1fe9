"""Numbers far outside the rest of their column: moved to the nearest bound, or their rows left out of training.

Bounds are learnt from the training rows alone and stored with the run, so that rows to answer meet the same ones.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import PositiveFloat

from tunesmith import scratch
from tunesmith.data import stored
from tunesmith.data.fences import Fences, K, fences
from tunesmith.data.format import find_column
from tunesmith.data.ledger import Ledger
from tunesmith.data.numbers import as_number, numbers, numeric
from tunesmith.data.record import Cell, Record, Roles
from tunesmith.data.rows import chosen, ids
from tunesmith.errors import TunesmithError
from tunesmith.steps import Scope, Step


class Outliers(Step):
    """The rule of `data check`: quartiles and a skew that a few wild values do not move. Cells that hold no number
    stay."""

    name: Literal["outliers"] = "outliers"
    how: Literal["clip", "drop"] = "clip"
    """clip: what lies outside becomes the bound, in every split and in rows to answer. drop: such rows are not learnt
    from; held-out rows and rows to answer stay as they are."""
    columns: tuple[str, ...] = ()
    """Where to look; the side columns that hold numbers and empty cells alone, unless named. drop may name any column,
    the answer too."""
    fence: PositiveFloat = K
    """k of the fences: how many interquartile ranges beyond the quartiles the bounds stand; the smaller, the nearer."""
    bounds: dict[str, tuple[float, float]] = {}
    """{column: [low, high]}: bounds that you know, instead of learnt ones."""

    scope: ClassVar[Scope] = "learnt"
    source: ClassVar[str] = "Hubert and Vandervieren 2008, https://doi.org/10.1016/j.csda.2007.11.008"
    prefer: ClassVar[str] = "Side columns from sensors or forms, where data check tells outliers."

    def objection(self, plan: Any) -> str | None:
        if odd := next((c for c, (low, high) in self.bounds.items() if not low < high), None):
            return f"bounds.{odd} must be [low, high] with low < high, got {list(self.bounds[odd])}"
        if odd := next((c for c in self.bounds if self.columns and c not in self.columns), None):
            return f"bounds names {odd}, and columns does not. Add it there, or take it out of bounds"
        return None

    def learn(self, records: Sequence[Record], roles: Roles, ledger: Ledger) -> tuple[Sequence[Record], dict[str, Any]]:
        """The training rows that go on, and {column: [low, high]}."""
        wanted = self._columns(records, roles)
        values = {column: numbers(column, records) for column in wanted}
        found = {column: self._bounds(column, values_N) for column, values_N in values.items()}
        out = {c: known.outside(values[c]) for c, known in found.items() if known}
        ledger.told.setdefault(self.name, []).extend(
            {"column": c, "low": known and known.low, "high": known and known.high,
             "training rows outside": len(out[c]) if c in out else None}
            for c, known in found.items()
        )  # fmt: skip
        bounds = {c: [known.low, known.high] for c, known in found.items() if known}
        if self.how == "clip" or not out:
            return records, bounds
        return self._without(records, out, ledger), bounds

    def _columns(self, records: Sequence[Record], roles: Roles) -> tuple[str, ...]:
        named = self.columns or tuple(self.bounds)
        for column in named if records else ():
            find_column(column, list(records[0].cells), records[0].source)
            if self.how == "clip" and column not in roles.side:
                what = "is the answer, which must stay what it is" if column == roles.label else "is not read"
                raise TunesmithError(f"steps.outliers: column '{column}' {what}, so clip does no good there. Write "
                                     "how: drop, or name side columns (task.side_columns)")  # fmt: skip
        found = named or tuple(numeric(roles.side, records))
        if records and not found:
            raise TunesmithError("steps.outliers: no side column holds numbers alone. Name columns, or take the step "
                                 "out of steps")  # fmt: skip
        return found

    def _bounds(self, column: str, values_N: Any) -> Fences | None:
        if column in self.bounds:
            return Fences(*self.bounds[column])
        there = scratch.where(values_N, lambda some: ~np.isnan(some))
        return fences(scratch.taken(values_N, there), self.fence)

    def _without(self, records: Sequence[Record], out: dict[str, Any], ledger: Ledger) -> Sequence[Record]:
        known, stays = ids(records), scratch.room(len(records), np.bool_, 1)
        for column, places in out.items():
            for row in scratch.each(places):
                if stays[row]:
                    ledger.mark(int(known[row]), "dropped", f"outliers: {column} is outside its bounds")
                stays[row] = False
        return chosen(records, scratch.where(stays))

    def run(
        self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int, learnt: Any = None
    ) -> Sequence[Record]:
        if self.how == "drop" or not learnt:
            return records
        return stored.records(self._clipped(record, learnt, ledger) for record in records)

    def _clipped(self, record: Record, bounds: dict[str, list[float]], ledger: Ledger) -> Record:
        moved: dict[str, Cell] = {}
        for column, (low, high) in bounds.items():
            cell = record.cells.get(column)
            number = as_number(cell)
            if number is not None and not low <= number <= high:
                bound = low if number < low else high
                moved[column] = f"{bound:.10g}" if isinstance(cell, str) else bound
                ledger.changed(self.name, f"{column} clipped")
        return replace(record, cells=record.cells | moved) if moved else record

"""Learn from some of the training rows: for learning curves, and for trials of what helps where rows are few.

Classes keep their proportions, and each keeps one row at least as far as the number reaches.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import PositiveInt

from tunesmith import scratch
from tunesmith.data.coded import Coded, coded
from tunesmith.data.ledger import Ledger
from tunesmith.data.record import Record, Roles
from tunesmith.data.roles import label_of
from tunesmith.data.rows import Index, chosen, ids
from tunesmith.steps import Scope, Step
from tunesmith.steps._making import Making


class Sample(Step):
    """Drawn by the plan's seed; held-out rows stay as they are, so that results with more and fewer rows compare."""

    name: Literal["sample"] = "sample"
    rows: PositiveInt
    """Training rows that stay; all where there are no more."""

    scope: ClassVar[Scope] = "train"
    asks_plan: ClassVar[bool] = True
    prefer: ClassVar[str] = "How much further rows would help, and quick tries on a large file."

    def objection(self, plan: Any) -> str | None:
        names = [step.name for step in plan.steps]
        if names.count(self.name) > 1:
            return "sample stands twice in steps. Keep one of them"
        before = [step.name for step in plan.steps[: names.index(self.name)]
                  if isinstance(step, Making) or (step.name == "balance" and step.how == "over")]  # fmt: skip
        if before:
            return f"sample stands behind {before[0]}, and would draw among rows that it made. Write sample before it"
        return None

    def run(
        self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int, plan: Any = None
    ) -> Sequence[Record]:
        if len(records) <= self.rows:
            return records
        order = scratch.filled(range(len(records)), len(records), np.int64)
        np.random.default_rng(seed).shuffle(order)
        if plan.task.kind == "classes" and roles.label is not None:
            label = roles.label
            classes = coded(label_of(r, label) for r in records)
            order = scratch.taken(order, scratch.order(_places(classes, order)))
        known, stays = ids(records), scratch.room(len(records), np.bool_)
        for part in scratch.blocks(self.rows):
            stays[order[part]] = True
        for row in scratch.each(scratch.where(stays, np.logical_not)):
            ledger.mark(int(known[row]), "dropped", "sample: not among the rows that were drawn")
        return chosen(records, scratch.where(stays))


def _places(classes: Coded, order: Index) -> Index:
    """(N,): where each row of a drawn order stands in its class, as a share of the class, in whole numbers that are in
    the order of the shares: the bits of a positive float. First rows before all."""
    out = scratch.room(len(order), np.int64)
    for rows in Coded(classes.names, scratch.taken(classes.numbers, order)).rows():
        for part in scratch.blocks(len(rows)):
            share = (np.arange(part.start, part.stop) + 0.5) / len(rows)
            out[rows[part]] = share.view(np.int64)
        out[rows[0]] = 0
    return out

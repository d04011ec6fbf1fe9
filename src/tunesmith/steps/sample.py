"""Learn from some of the training rows: for learning curves, and for trials of what helps where rows are few.

Classes keep their proportions, and each keeps one row at least as far as the number reaches.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import PositiveInt

from tunesmith import scratch
from tunesmith.data.coded import coded
from tunesmith.data.ledger import Ledger
from tunesmith.data.record import Record, Roles
from tunesmith.data.roles import label_of
from tunesmith.data.rows import chosen, ids
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
        order = np.random.default_rng(seed).permutation(len(records))
        if plan.task.kind == "classes" and roles.label is not None:
            label = roles.label
            order = order[np.argsort(_places(coded(label_of(r, label) for r in records).numbers[order]), kind="stable")]
        stays = scratch.room(len(records), np.bool_)
        stays[:] = False
        stays[order[: self.rows]] = True
        known = ids(records)
        for row in scratch.where(~stays).tolist():
            ledger.mark(int(known[row]), "dropped", "sample: not among the rows that were drawn")
        return chosen(records, scratch.where(stays))


def _places(classes: Any) -> Any:
    """(N,): where each row of a drawn order stands in its class, as a share of the class; first rows before all."""
    sizes = np.bincount(classes)
    rank = np.empty(len(classes), np.int64)
    rank[np.argsort(classes, kind="stable")] = np.concatenate([np.arange(size) for size in sizes])
    return np.where(rank == 0, -1.0, (rank + 0.5) / sizes[classes])

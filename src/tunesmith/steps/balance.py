"""Even out classes in the training split: repeat rare rows, drop common ones, or weigh rows.

weights: n / (C n_c)        n rows, C classes, n_c rows of the class; mean weight 1
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tunesmith.data.ledger import Ledger
from tunesmith.data.record import Record, Roles
from tunesmith.data.roles import label_of
from tunesmith.errors import TunesmithError
from tunesmith.steps import Scope, Step

_WITHOUT_CLASSES = frozenset({"regress", "embed", "generate", "prefer", "tag", "multilabel"})


class Balance(Step):
    """After the split, so that held-out rows keep the proportions of real life."""

    name: Literal["balance"] = "balance"
    how: Literal["weights", "over", "under"] = "weights"
    """weights: rows of rare classes count more in the loss. over: they are repeated. under: others are dropped."""
    strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    """0 changes nothing, 1 makes all classes count alike."""

    scope: ClassVar[Scope] = "train"
    source: ClassVar[str] = "weights as scikit-learn's class_weight='balanced': n / (C n_c)"
    prefer: ClassVar[str] = "Rare classes that matter. weights loses and repeats nothing; under suits very large files."

    def objection(self, plan: Any) -> str | None:
        if plan.task.name in _WITHOUT_CLASSES:
            return f"balance needs one class a row, and task {plan.task.name} has none. Take balance out of steps"
        if sum(step.name == self.name for step in plan.steps) > 1:
            return "balance stands twice in steps. Keep one of them"
        if self.strength == 0:
            return "balance with strength 0 changes nothing. Take it out of steps, or set strength above 0"
        return None

    def run(self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int) -> list[Record]:
        if roles.label is None or roles.numeric_label:
            raise TunesmithError("steps.balance: the rows carry no classes. Take balance out of steps")
        classes: defaultdict[str, list[int]] = defaultdict(list)
        for number, record in enumerate(records):
            classes[label_of(record, roles.label)].append(number)
        if not records or self.strength == 0:
            return list(records)
        order = np.random.default_rng(seed)
        ways = {"weights": self._weigh, "over": self._repeat, "under": self._drop}
        return ways[self.how](records, dict(sorted(classes.items())), ledger, order)

    def _weigh(
        self, records: Sequence[Record], classes: dict[str, list[int]], ledger: Ledger, order: np.random.Generator
    ) -> list[Record]:
        weight = np.array([r.weight for r in records])
        for rows in classes.values():
            weight[rows] *= (len(records) / (len(classes) * len(rows))) ** self.strength
        if self.strength < 1:  # at 1 the mean is 1 by the formula
            weight *= len(records) / weight.sum()
        ledger.changed(self.name, "rows weighed", len(records))
        return [replace(r, weight=float(w)) for r, w in zip(records, weight, strict=True)]

    def _repeat(
        self, records: Sequence[Record], classes: dict[str, list[int]], ledger: Ledger, order: np.random.Generator
    ) -> list[Record]:
        most, copies = max(map(len, classes.values())), list[int]()
        for rows in classes.values():
            missing = round(self.strength * (most - len(rows)))
            whole, rest = divmod(missing, len(rows))
            copies += rows * whole + sorted(order.permutation(rows)[:rest].tolist())
        ledger.changed(self.name, "copies added", len(copies))
        return [*records, *(records[i] for i in copies)]

    def _drop(
        self, records: Sequence[Record], classes: dict[str, list[int]], ledger: Ledger, order: np.random.Generator
    ) -> list[Record]:
        fewest, gone = min(map(len, classes.values())), set[int]()
        for rows in classes.values():
            surplus = round(self.strength * (len(rows) - fewest))
            gone |= set(order.permutation(rows)[:surplus].tolist())
        for number in sorted(gone):
            ledger.mark(records[number].id, "dropped", "balance: under (its class has more rows than the others)")
        return [record for number, record in enumerate(records) if number not in gone]

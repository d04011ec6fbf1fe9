"""Even out classes in the training split: repeat rare rows, drop common ones, or weigh rows.

weights:   n / (C n_c)              n rows, C classes, n_c rows of the class; mean weight 1
effective: (1 - b) / (1 - b ** n_c) scaled to mean weight 1; b (beta): how soon further rows say nothing new
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tunesmith import scratch
from tunesmith.data.coded import Coded, coded
from tunesmith.data.drawing import drawn
from tunesmith.data.ledger import Ledger
from tunesmith.data.record import Record, Roles
from tunesmith.data.roles import label_of
from tunesmith.data.rows import Index, chosen, ids, reweighed
from tunesmith.errors import TunesmithError
from tunesmith.steps import Scope, Step


class Balance(Step):
    """After the split, so that held-out rows keep the proportions of real life."""

    name: Literal["balance"] = "balance"
    how: Literal["weights", "effective", "over", "under"] = "weights"
    """weights: rows of rare classes count more in the loss. effective: so, but less for classes that have many rows
    anyway. over: they are repeated. under: others are dropped."""
    beta: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """Of effective: about 1 / (1 - beta) rows say all that a class has to say."""
    strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    """0 changes nothing, 1 makes all classes count alike."""

    scope: ClassVar[Scope] = "train"
    source: ClassVar[str] = (
        "weights as scikit-learn's class_weight='balanced': n / (C n_c); effective: Cui et al. 2019, "
        "https://arxiv.org/abs/1901.05555"
    )
    prefer: ClassVar[str] = "Rare classes that matter. weights loses and repeats nothing; under suits very large files."

    def objection(self, plan: Any) -> str | None:
        if plan.task.kind != "classes":
            return f"balance needs one class a row, and task {plan.task.name} has none. Take balance out of steps"
        if sum(step.name == self.name for step in plan.steps) > 1:
            return "balance stands twice in steps. Keep one of them"
        if self.differs("beta") and self.how != "effective":
            return f"beta has no effect with how: {self.how}. Remove it, or set how: effective"
        if self.strength == 0:
            return "balance with strength 0 changes nothing. Take it out of steps, or set strength above 0"
        return None

    def run(self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int) -> Sequence[Record]:
        if roles.label is None or roles.numeric_label:
            raise TunesmithError("steps.balance: the rows carry no classes. Take balance out of steps")
        label = roles.label
        classes = coded(label_of(record, label) for record in records)
        if not records or self.strength == 0:
            return records
        if self.how in ("weights", "effective"):
            return self._weigh(records, classes, ledger)
        by_name = sorted(zip(classes.names, classes.rows(), strict=True), key=lambda pair: pair[0])
        change = self._repeat if self.how == "over" else self._drop
        return change(records, [rows for _, rows in by_name], ledger, np.random.default_rng(seed))

    def _weigh(self, records: Sequence[Record], classes: Coded, ledger: Ledger) -> Sequence[Record]:
        weight = scratch.filled((r.weight for r in records), len(records), np.float64)
        factors = self._factors(classes.sizes, len(records))
        for part in scratch.blocks(len(weight)):
            weight[part] *= factors[classes.numbers[part]]
        if self.strength < 1 or self.how == "effective":  # otherwise the mean is 1 by the formula
            weight *= len(records) / weight.sum()
        ledger.changed(self.name, "rows weighed", len(records))
        return reweighed(records, weight)

    def _factors(self, sizes: Index, rows: int) -> NDArray[np.float64]:
        """(C,): the weight of a row of each class."""
        even = rows / (len(sizes) * sizes)
        effective = (1 - self.beta) / (1 - self.beta**sizes)
        return np.asarray((even if self.how == "weights" else effective) ** self.strength)

    def _repeat(
        self, records: Sequence[Record], classes: list[Index], ledger: Ledger, order: np.random.Generator
    ) -> Sequence[Record]:
        most, index = max(map(len, classes)), scratch.Column(np.int64)
        for part in scratch.blocks(len(records)):
            index.extend(np.arange(part.start, part.stop))
        for rows in classes:
            for piece in drawn(rows, round(self.strength * (most - len(rows))), order):
                index.extend(piece)
        ledger.changed(self.name, "copies added", len(index) - len(records))
        found = index.array()
        ledger.repeated(scratch.taken(ids(records), found[len(records) :]))
        return chosen(records, found)

    def _drop(
        self, records: Sequence[Record], classes: list[Index], ledger: Ledger, order: np.random.Generator
    ) -> Sequence[Record]:
        fewest, stays = min(map(len, classes)), scratch.room(len(records), np.bool_, 1)
        for rows in classes:
            surplus = round(self.strength * (len(rows) - fewest))
            order.shuffle(rows)
            for part in scratch.blocks(surplus):
                stays[rows[part]] = False
        known = ids(records)
        for number in scratch.each(scratch.where(stays, np.logical_not)):
            ledger.mark(int(known[number]), "dropped", "balance: under (its class has more rows than the others)")
        return chosen(records, scratch.where(stays))

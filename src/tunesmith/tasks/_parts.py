"""What tasks that are made of several tell of these: which rows and which outputs are whose.

Shape letters: N rows, C outputs of all tasks, P tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tunesmith.data import Record, Roles
from tunesmith.data.ragged import Ragged
from tunesmith.tasks._encoded import Array, Encoded
from tunesmith.tasks._facts import Facts

if TYPE_CHECKING:
    from tunesmith.tasks import Task

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Reading:
    """A file that rows are read from, for one split; for one of several tasks, where `part` names it."""

    split: Literal["train", "validation", "test", "joining"]
    """joining: learnt with the training rows and never held out; a label may be missing there."""
    file: str
    weight: float = 1.0
    part: str = ""


@dataclass(frozen=True)
class Strand:
    """The rows of one of several tasks."""

    name: str
    task: "Task"
    roles: Roles
    rows: Index
    """Which of the rows at hand."""
    records: Sequence[Record]


@dataclass(frozen=True)
class Share:
    """The outputs of one of several tasks."""

    name: str
    number: int
    """Its place among the tasks."""
    task: "Task"
    facts: Facts
    outputs: slice
    """Which of the C outputs."""

    def rows(self, encoded: Encoded) -> Index:
        """Numbers of its rows."""
        assert encoded.part is not None, "rows of several tasks say whose they are"
        return np.flatnonzero(encoded.part == self.number)

    def own(self, encoded: Encoded) -> Encoded:
        """Its rows as it would have encoded them alone."""
        rows = self.rows(encoded)
        assert encoded.targets is not None, "rows of a known task have targets"
        return replace(
            self.stub(encoded.targets[rows]), ids=encoded.ids.pick(rows.tolist()), lost=encoded.lost[rows],
            types=None if encoded.types is None else encoded.types.pick(rows.tolist()), weights=encoded.weights[rows],
        )  # fmt: skip

    def stub(self, targets_NK: Array) -> Encoded:
        """Rows without a text, for what looks at targets alone."""
        none, count = Ragged.of([]), self.outputs.stop - self.outputs.start
        targets = in_units(targets_NK[:, LEAD:], self.task.kind, count)
        return Encoded(none, None, np.zeros(0, np.int32), targets, None, np.zeros(0, np.float32))


LEAD = 3
"""Columns of a row of targets before its value: number of the task, its first output, how many it has."""


def in_units(values_NK: Any, kind: str, count: int) -> Any:
    """Targets of a task of that kind, from the columns that all tasks share; arrays or tensors."""
    if kind == "multilabel":
        return values_NK[:, :count]
    first_N = values_NK[:, 0]
    if kind == "numbers":
        return first_N
    return first_N.astype(np.int64) if isinstance(first_N, np.ndarray) else first_N.long()

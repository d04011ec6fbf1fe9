"""Domain adaptation: a task with labels from one source of texts, for texts of another.

    source  text label  ----+--> steps of both, 7 : 3 --> the task's loss of the rows that have a label
    target  text [label] ---+                         --> what brings both together (penalties: dann, coral, mmd)

The task inside says what rows mean, and is what the saved model answers. Rows of the target that have a label learn
with the others; those without count nothing in its loss, and are seen by penalties on states alone.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

import numpy as np
from pydantic import Field, model_validator

from tunesmith.data.record import Record, Roles
from tunesmith.data.table import Table
from tunesmith.errors import TunesmithError
from tunesmith.tasks import AROUND, TASKS, Encoded, LogitsTask, Reading, Rows, Task
from tunesmith.tasks._blend import Blend, stacked

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Inner = LogitsTask
else:
    Inner = TASKS.union(without=AROUND)

KINDS = ("classes", "multilabel", "numbers")


class _OfInner:
    """A class variable that an instance has from the task inside."""

    def __init__(self, name: str, otherwise: Any) -> None:
        self.name, self.otherwise = name, otherwise

    def __get__(self, task: "Domain | None", kind: type) -> Any:
        return self.otherwise if task is None else getattr(task.task, self.name)


def _as_inner(name: str) -> Any:
    """A method that the task inside answers."""

    def asked(self: "Domain", *arguments: Any, **named: Any) -> Any:
        return getattr(self.task, name)(*arguments, **named)

    asked.__name__, asked.__doc__ = name, getattr(Task, name).__doc__
    return asked


class Domain(LogitsTask):
    """A labelled source, and a target without labels or with few."""

    name: Literal["domain"] = "domain"
    metrics: tuple[str, ...] = ()
    task: Inner = cast("LogitsTask", TASKS.make("classify"))
    """What rows mean: classify, multilabel or regress, with their settings."""
    target: str | None = None
    """File with rows of the target, in the columns of the source; the label may be missing in some rows, or in all. The
    source is data.train; rows to be judged on go into data.test, as a file."""
    mix: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of target rows in each step. Where some have a label and others not, half of it for each."""

    two_domains: ClassVar[bool] = True
    file_settings: ClassVar[tuple[str, ...]] = ("target",)
    kind: ClassVar[Any] = _OfInner("kind", "classes")
    problem_type: ClassVar[Any] = _OfInner("problem_type", None)
    usual_steps: ClassVar[Any] = _OfInner("usual_steps", Task.usual_steps)
    prefer: ClassVar[str] = "labels come from elsewhere: other machines, another year, another style of writing"
    source: ClassVar[str] = "Ganin et al. 2016; Sun & Saenko 2016; Long et al. 2015; Ben-David et al. 2010"

    @model_validator(mode="after")
    def _one_name_each(self) -> "Domain":
        """Metrics and pooling are those of the task inside, wherever they are written."""
        inner, given = self.task, self.model_fields_set
        found: dict[str, Any] = {n: getattr(self, n) for n in ("metrics", "pool") if n in given and getattr(self, n)}
        if any(getattr(inner, n) != value for n, value in found.items()):
            object.__setattr__(self, "task", inner := inner.model_copy(update=found))
        for name in ("metrics", "pool"):
            self.__dict__[name] = getattr(inner, name)
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            return super().__getattr__(name)  # type: ignore[misc]
        return getattr(self.task, name)  # settings of the task inside that others look at

    def objection(self, plan: Any) -> str | None:
        if self.task.kind not in KINDS or self.task.sees or self.task.purpose("") != "classify":
            return f"domain learns with a head on texts (classify, multilabel, regress): {self.task.name} here does not"
        if self.target is None:
            return "domain needs rows of the target. Name their file: task.target"
        if self.target in [source.file for source in plan.data.train]:
            return f"target: {self.target} is the source (data.train), too. Name the file with rows of the target"
        if plan.train.batch_tokens is None and (1 - self.mix) * plan.train.batch < 1:
            return f"mix: {self.mix:g} leaves no source row in a step of {plan.train.batch}. Set train.batch higher"
        return self.task.objection(plan.model_copy(update={"task": self.task}))

    @property
    def usual_baselines(self) -> tuple[str, ...]:
        return (*self.task.usual_baselines, "source")

    @property
    def untrained(self) -> bool:
        return self.task.untrained

    def resolved(self, table: Table) -> "Domain":
        return self.model_copy(update={"task": self.task.resolved(table)})

    def within(self, room: int, base: str, path: str = "task") -> "Domain":
        return self.model_copy(update={"task": self.task.within(room, base, f"{path}.task")})

    def readings(self, data: Any) -> list[Reading]:
        own = [] if self.target is None else [Reading("joining", self.target)]
        return super().readings(data) + own

    def has_label(self, record: Record, roles: Roles) -> bool:
        return roles.label is not None and record.cells.get(roles.label) not in (None, "")

    def losses(self, logits_BC: "Tensor", targets_B: "Tensor") -> "Tensor":
        return self.task.losses(logits_BC, targets_B)

    def lessons(
        self, train: Encoded, joined_N: "NDArray[np.bool_]", bare: Encoded | None, *, looked_at: bool
    ) -> Encoded:  # fmt: skip
        """Source and target in the proportion that is asked for. Raises TunesmithError where nothing of the target is
        learnt from."""
        if bare is not None and not looked_at:
            if not joined_N.any():
                raise TunesmithError(
                    f"task.target: no row of {self.target} has a label, and nothing looks at rows without one: they "
                    "would have no effect. Add penalties: [dann] (or coral, or mmd), or label some"
                )
            bare = None
        rows = replace(train) if bare is None else stacked(train, bare)
        rows.target = np.concatenate([joined_N, np.ones(len(rows) - len(train), dtype=bool)])
        own, without = np.flatnonzero(joined_N), np.arange(len(train), len(rows))
        share = self.mix / 2 if len(own) and len(without) else self.mix
        rows.blend = Blend.of(np.flatnonzero(~joined_N), [(own, share), (without, share)])
        return rows

    def weigh(self, encoded: Encoded, rows: Rows) -> float:
        """Sum of the rows' weights, of which those without a label have none."""
        return max(1e-9, self.task.weigh(encoded, rows))

    # all that rows mean is the task's inside

    purpose: ClassVar[Any] = _as_inner("purpose")
    processor: ClassVar[Any] = _as_inner("processor")
    base_objection: ClassVar[Any] = _as_inner("base_objection")
    roles: ClassVar[Any] = _as_inner("roles")
    study: ClassVar[Any] = _as_inner("study")
    grown: ClassVar[Any] = _as_inner("grown")
    drawn: ClassVar[Any] = _as_inner("drawn")
    meet: ClassVar[Any] = _as_inner("meet")
    blanks: ClassVar[Any] = _as_inner("blanks")
    calibrated: ClassVar[Any] = _as_inner("calibrated")
    outputs: ClassVar[Any] = _as_inner("outputs")
    encode: ClassVar[Any] = _as_inner("encode")
    taken_in: ClassVar[Any] = _as_inner("taken_in")
    step_loss: ClassVar[Any] = _as_inner("step_loss")
    read: ClassVar[Any] = _as_inner("read")
    mean_loss: ClassVar[Any] = _as_inner("mean_loss")
    answer: ClassVar[Any] = _as_inner("answer")
    truth: ClassVar[Any] = _as_inner("truth")
    tuned: ClassVar[Any] = _as_inner("tuned")
    columns: ClassVar[Any] = _as_inner("columns")

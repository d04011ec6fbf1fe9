"""Several tasks, what is asked for: the settings, which of them go together, and which rows are for which task."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field

from tunesmith import scratch
from tunesmith.bases.family import Family
from tunesmith.data import Record, Roles
from tunesmith.data.ledger import Ledger
from tunesmith.data.rows import chosen
from tunesmith.data.table import Table
from tunesmith.described import Described
from tunesmith.errors import unknown
from tunesmith.tasks import AROUND, TASKS, LogitsTask, Reading, Strand
from tunesmith.tasks import _several as several
from tunesmith.tasks._several import LABEL, PAIR, TASK, TEXT, Inner

if TYPE_CHECKING:
    AnyInner = Inner
else:
    AnyInner = TASKS.union(without=AROUND)

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_OWN = ("file", "validation", "test")


def _apart(value: Any) -> Any:
    """`{name: classify, file: a.csv, label: x}` as `{file: a.csv, task: {name: classify, label: x}}`."""
    if isinstance(value, str):
        return {"task": value}
    if not isinstance(value, dict) or "task" in value:
        return value
    own = {key: value[key] for key in _OWN if key in value}
    return {**own, "task": {key: each for key, each in value.items() if key not in own}}


class OneOf(Described):
    """One of several tasks, and where its rows are."""

    task: AnyInner
    """What its rows mean. In a plan its settings stand beside `file`."""
    file: str | None = None
    """File to learn from; those of data.train unless named."""
    validation: str | None = None
    """File that picks the checkpoint; a share (data.validation) unless named."""
    test: str | None = None
    """File that is judged once; a share (data.test) unless named."""


class AskedMulti(LogitsTask):
    """What a plan says of several tasks, and which rows are for which."""

    metrics: tuple[str, ...] = ("joint",)
    """Metrics to report, the first picks the checkpoint; those of each task follow, as TASK.METRIC."""
    tasks: Annotated[dict[str, Annotated[OneOf, BeforeValidator(_apart)]], Field(min_length=2)]
    """The tasks by name, each with its settings, and with a `file` (and `validation`, `test`) of its own if wanted:
    {failure: {name: classify, file: a.csv, label: failure}, hours: {name: regress, label: downtime_hours}}."""
    sampling: Literal["size", "temperature", "weights"] = "size"
    """How often an epoch, which keeps its length, shows rows of each task. size: each row once. temperature: in
    proportion to rows ** (1 / temperature), so that small tasks are seen more often. weights: as shares say."""
    temperature: Annotated[float, Field(ge=1, le=100)] = 2.0
    """1 is size; the larger, the more alike (sampling: temperature)."""
    shares: dict[str, Annotated[float, Field(gt=0)]] = {}
    """{task: how much of an epoch}, in any unit (sampling: weights)."""
    weights: dict[str, Annotated[float, Field(gt=0)]] = {}
    """{task: factor of its loss}; 1 where nothing is said."""
    alone: bool = False
    """Train each task alone, too, on the same rows for as many row visits, and test who was helped and who was hurt.
    Costs as much time again."""

    # the plan

    def objection(self, plan: Any) -> str | None:
        checks = (self._names_objection, self._balance_objection, lambda: self._files_objection(plan.data))
        if self.alone and plan.method.start:
            return (
                "alone: true trains each task from the base, and method.start begins elsewhere. Remove one of the two"
            )
        found = next((text for check in checks if (text := check())), None)
        inner = (f"tasks.{n}: {text}" for n, one in self.tasks.items() if (text := several.objection(one.task, plan)))
        return found or next(inner, None)

    def _names_objection(self) -> str | None:
        for name in self.tasks:
            if not _NAME.fullmatch(name) or name == "joint":
                return f"tasks: '{name}' names columns, metrics and a folder. Use letters, digits, _ and -, not joint"
        for what in ("shares", "weights"):
            if odd := next((n for n in getattr(self, what) if n not in self.tasks), None):
                return f"{what}: {unknown('task', odd, self.tasks)}"
        return None

    def _balance_objection(self) -> str | None:
        if self.differs("temperature") and self.sampling != "temperature":
            return "temperature has no effect unless sampling: temperature"
        if self.shares and self.sampling != "weights":
            return "shares have no effect unless sampling: weights"
        if self.sampling == "weights" and set(self.shares) != set(self.tasks):
            lacking = ", ".join(n for n in self.tasks if n not in self.shares)
            return f"sampling: weights needs shares of every task; missing: {lacking}"
        return None

    def _files_objection(self, data: Any) -> str | None:
        for split in ("validation", "test"):
            for name, one in self.tasks.items():
                if isinstance(getattr(data, split), str) and one.file and getattr(one, split) is None:
                    return f"data.{split} is a file, and {name} has a file of its own. Name tasks.{name}.{split}"
        if all(one.file for one in self.tasks.values()):
            known = set(self.own_files())
            if idle := [source.file for source in data.train if source.file not in known]:
                return f"every task names its file, and data.train has {idle[0]}, which none reads. Remove it"
        return None

    def own_files(self) -> tuple[str, ...]:
        files = [one.file for one in self.tasks.values()]
        return tuple(dict.fromkeys(str(f) for f in files)) if all(files) else ()

    @classmethod
    def anchor_files(cls, written: dict[str, Any], fixed: Callable[[Any], Any]) -> None:
        several = written.get("tasks")
        for each in several.values() if isinstance(several, dict) else ():
            if isinstance(each, dict):
                each |= {key: fixed(each[key]) for key in _OWN if key in each}

    def anchored(self, fixed: Callable[[Any], Any]) -> Self:
        return self._each(lambda one: one.model_copy(update={key: fixed(getattr(one, key)) for key in _OWN}))

    def within(self, room: int, base: str, path: str = "task") -> Self:
        tasks = {
            name: one.model_copy(update={"task": one.task.within(room, base, f"{path}.tasks.{name}")})
            for name, one in self.tasks.items()
        }
        return self.model_copy(update={"tasks": tasks})

    def _each(self, change: Callable[[OneOf], OneOf]) -> Self:
        return self.model_copy(update={"tasks": {name: change(one) for name, one in self.tasks.items()}})

    def of(self, name: str) -> Inner | None:
        """The task of that name, as it was asked for; None where there is none."""
        return self.tasks[name].task if name in self.tasks else None

    @property
    def metric_names(self) -> tuple[str, ...]:
        own = [f"{name}.{metric}" for name, one in self.tasks.items() for metric in one.task.metric_names]
        return (*self.metrics, *(metric for metric in own if metric not in self.metrics))

    @property
    def usual_baselines(self) -> tuple[str, ...]:
        return ("majority", "tfidf", "probe")

    def base_objection(self, family: Family) -> str | None:
        return next((text for one in self.tasks.values() if (text := one.task.base_objection(family))), None)

    # files and rows

    def readings(self, data: Any) -> list[Reading]:
        found = []
        for name, one in self.tasks.items():
            sources = [(one.file, 1.0)] if one.file else [(source.file, source.weight) for source in data.train]
            found += [Reading("train", file, weight, name) for file, weight in sources]
        splits: tuple[Literal["validation", "test"], ...] = ("validation", "test")
        for split in splits:
            for name, one in self.tasks.items():
                file = getattr(one, split) or getattr(data, split)
                found += [Reading(split, file, part=name)] if isinstance(file, str) else []
        return found

    def shares_held(self, data: Any) -> dict[str, dict[str, float | None]]:
        def share(one: OneOf, split: str) -> float | None:
            asked = getattr(data, split)
            return asked if isinstance(asked, float) and getattr(one, split) is None else None

        return {name: {s: share(one, s) for s in ("test", "validation")} for name, one in self.tasks.items()}

    def resolved(self, table: Table) -> Self:
        return self.resolved_by(dict.fromkeys(self.tasks, table))

    def resolved_by(self, tables: Any) -> Self:
        made = {}
        for name, one in self.tasks.items():
            with several.told(name):
                made[name] = one.model_copy(update={"task": one.task.resolved(tables[name])})
        return self.model_copy(update={"tasks": made})

    def roles(self, *, labelled: bool = True) -> Roles:
        inner = [one.task for one in self.tasks.values()]
        side = tuple(dict.fromkeys(column for task in inner for column in task.side_columns))
        if not labelled:  # as a file has them
            columns = dict.fromkeys(str(c) for task in inner for c in (task.text, task.pair) if c)
            return Roles(tuple(columns), side=side)
        texts = (TEXT, PAIR) if any(task.pair for task in inner) else (TEXT,)
        return Roles(texts, LABEL, side=side, task=TASK)

    def taken_in(
        self, records: Sequence[Record], ledger: Ledger | None = None, *, labelled: bool = True
    ) -> Sequence[Record]:
        """Rows of a file that no task was named for: to predict, each once; to judge, once for each task that it has
        a label for, or for the one that its column `task` names."""
        inner = {name: one.task for name, one in self.tasks.items()}
        if not labelled:
            return several.to_answer(inner, records)
        named = several.rows_by_task(inner, records)
        return [row for name, rows in named.items() for row in self.taken_in_for(name, rows, ledger or Ledger())]

    def taken_in_for(self, part: str, records: Sequence[Record], ledger: Ledger) -> Sequence[Record]:
        with several.told(part, self.tasks[part].task):
            return several.taken_in(part, self.tasks[part].task, records, ledger)

    def strands(self, records: Sequence[Record], roles: Roles) -> list[Strand]:
        names = list(self.tasks)
        number = scratch.filled((names.index(str(r.cells[TASK])) for r in records), len(records), np.int64)
        found = []
        for place, name in enumerate(names):
            task, rows = several.own(self.tasks[name].task), np.flatnonzero(number == place)
            found.append(Strand(name, task, several.roles_of(task, roles), rows, chosen(records, rows)))
        return found

"""Arms: what is compared, each asked for answers to the same rows.

An arm is a model; several seeds of one recipe; or a model for each value of a column (one shared model beside one for
each brand).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.asking import answers_on
from tunesmith.comparing.met import Met, meet, relabelled
from tunesmith.data.format import find_column
from tunesmith.data.table import Table, read
from tunesmith.errors import TunesmithError, unknown
from tunesmith.metrics import Answers
from tunesmith.model import Model, read_card
from tunesmith.plan import Plan
from tunesmith.progress import Progress

Arm = Path | Mapping[str, Path] | Sequence[Path]
"""A model folder, several of them (seeds), or one for each value of the column."""
Load = Callable[[Path], Model]
KINDS = ("classes", "numbers")
"""Kinds of answers that may come from another model row by row."""


@dataclass(frozen=True)
class _Rows:
    """A labelled file, and which of its rows belong together."""

    table: Table
    groups: NDArray[np.str_]
    """(N,) the column's value of each row, "" without one."""

    def of(self, value: str) -> NDArray[np.int64]:
        return np.flatnonzero(self.groups == value)

    def part(self, index: NDArray[np.int64]) -> Table:
        return replace(self.table, rows=[self.table.rows[int(i)] for i in index])


def asked(arms: Mapping[str, Arm], data: Path, by: str | None, load: Load, progress: Progress) -> Met:
    """The answers of all arms to a labelled file; `by` is the column that says which of an arm's models answers a row.

    Raises TunesmithError for arms that answer otherwise (another task), and for a group without a model.
    """
    plans = {name: [read_card(folder)[0] for folder in _folders(arm)] for name, arm in arms.items()}
    _refuse(arms, plans, by)
    plan, facts, _ = read_card(_folders(next(iter(arms.values())))[0])
    table = read(data, plan.data.format)
    rows = _Rows(table, values_of(table, by))
    sides: dict[str, list[Answers]] = {}
    warnings = other_recipes({n: plans[n] for n, arm in arms.items() if not isinstance(arm, Mapping)})
    for name, arm in arms.items():
        sides[name] = []
        for each in [arm] if isinstance(arm, Path | Mapping) else arm:
            answers, told = _answered(name, each, rows, load, progress)
            sides[name].append(answers)
            warnings += [f"{name}: {text}" for text in told if f"{name}: {text}" not in warnings]
    shown = plan.task.roles(labelled=False).shown
    texts = [" ‖ ".join(str(cells[c]) for c in shown if cells.get(c) is not None) for _, cells in table.rows]
    places = [f"row {row}" for row, _ in table.rows]
    made = meet(plan, facts, sides, texts, places, warnings)
    return replace(made, source=str(data), column=lambda name: values_of(table, name))


def _folders(arm: Arm) -> list[Path]:
    if isinstance(arm, Path):
        return [arm]
    return list(arm.values()) if isinstance(arm, Mapping) else list(arm)


def _refuse(arms: Mapping[str, Arm], plans: Mapping[str, list[Plan]], by: str | None) -> None:
    split = [n for n, a in arms.items() if isinstance(a, Mapping)]
    if by is None and split:
        raise TunesmithError(f"compare: {split[0]} has a model for each group. Name their column: by=…")
    first = next(iter(plans.values()))[0]
    for name, found in plans.items():
        for plan in found:
            if plan.task.kind != first.task.kind:
                raise TunesmithError(
                    f"compare: {name} is a model of task {plan.task.name} and its answers are {plan.task.kind}; those "
                    f"of the first are {first.task.kind}. Compare models that answer alike"
                )
            if split and plan.task.kind not in KINDS:
                raise TunesmithError(
                    f"compare: {name} is a model of task {plan.task.name}. A model for each group is for models that "
                    "give each row one label or one number; compare others whole, one model an arm"
                )


def other_recipes(plans: Mapping[str, Sequence[Plan]]) -> list[str]:
    """Warnings of seeds that are not seeds of one recipe."""

    def recipe(plan: Plan) -> dict[str, Any]:
        tree = plan.model_dump(mode="json", exclude={"run"})
        tree["train"].pop("seed", None)
        return tree

    warnings = []
    for name, found in plans.items():
        if any(recipe(plan) != recipe(found[0]) for plan in found[1:]):
            warnings.append(f"{name}: its runs differ in more than train.seed: what is called their seeds are recipes")
        seeds = [plan.train.seed for plan in found]
        if len(set(seeds)) < len(seeds):
            warnings.append(f"{name}: two of its runs have the same train.seed: they are not two draws")
    return warnings


def values_of(table: Table, by: str | None) -> NDArray[np.str_]:
    """(N,) what a column says of each row, as text."""
    if by is None:
        return np.full(len(table.rows), "")
    column = find_column(by, table.columns, table.source)
    return np.array(["" if cells.get(column) is None else str(cells[column]) for _, cells in table.rows])


def _answered(
    name: str, arm: Path | Mapping[str, Path], rows: _Rows, load: Load, progress: Progress
) -> tuple[Answers, list[str]]:
    """Answers of an arm on all rows; where it is several models, each on its own group."""
    if isinstance(arm, Path):
        return answers_on(load(arm), rows.table, progress)
    found, told, places = [], [], []
    for value in sorted(set(rows.groups.tolist())):
        if value not in arm:
            raise TunesmithError(f"compare: {name}: {unknown('group', value, arm)}. Name a model for each group")
        own, warnings = _all_of(name, load(arm[value]), rows.part(rows.of(value)), progress)
        found.append(own)
        told += [f"{value}: {text}" for text in warnings]
        places.append(rows.of(value))
    labels = tuple(dict.fromkeys(label for each in found for label in each.labels))
    return _joined([relabelled(each, labels) for each in found], np.concatenate(places)), told


def _joined(parts: Sequence[Answers], place_N: NDArray[np.int64]) -> Answers:
    """Answers of several models as those of one, in the order of the file."""
    order = np.argsort(place_N)

    def whole(columns: Iterator[Any]) -> Any:
        found = list(columns)
        return None if any(each is None for each in found) else np.concatenate(found)[order]

    truth, predicted, scores = (whole(getattr(e, what) for e in parts) for what in ("truth", "predicted", "scores"))
    return replace(parts[0], truth=truth, predicted=predicted, scores=scores)


def _all_of(name: str, model: Model, table: Table, progress: Progress) -> tuple[Answers, list[str]]:
    """Answers of a model on every row of a table: rows of several models are put together one by one."""
    answers, warnings = answers_on(model, table, progress)
    if answers.rows != len(table.rows) or answers.queries is not None:
        why = "ranks candidates of a query" if answers.queries is not None else "its steps leave rows out"
        raise TunesmithError(f"compare: {name} {why}, and here every row is answered by itself: one model an arm")
    return answers, warnings

"""Compare: several models on one labelled file, all rows and group by group, with paired tests against one of them.

An arm is a model, or a model for each value of a column: one shared model beside one for each brand.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.asking import answers_on
from tunesmith.data.format import find_column
from tunesmith.data.table import Table, read
from tunesmith.errors import TunesmithError, unknown
from tunesmith.evaluation.compared import corrected, paired
from tunesmith.evaluation.judge import Judge
from tunesmith.metrics import Answers
from tunesmith.model import Model, read_card
from tunesmith.progress import Progress

Arm = Path | Mapping[str, Path]
"""A model folder, or one for each value of the column."""
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


def compare(arms: Mapping[str, Arm], data: Path, by: str | None, load: Load, progress: Progress) -> dict[str, Any]:
    """{data, rows, by, against, metrics, groups, paired, warnings, table}; the first arm is what others are tested
    against. p-values are corrected for their number (Holm), those of all rows and those of groups apart.

    Raises TunesmithError for arms that answer otherwise (another task), and for a group without a model.
    """
    _refuse(arms, by)
    first = next(iter(arms.values()))
    plan, facts, _ = read_card(next(iter(first.values())) if isinstance(first, Mapping) else first)
    table = read(data, plan.data.format)
    rows = _Rows(table, _values(table, by))
    answers, warnings = {}, []
    for name, arm in arms.items():
        answers[name], told = _answered(name, arm, rows, load, progress)
        warnings += [f"{name}: {text}" for text in told]
    labels = tuple(dict.fromkeys(label for each in answers.values() for label in each.labels))
    answers = _with_one_truth({name: _relabelled(each, labels) for name, each in answers.items()})
    judge = Judge(plan, facts.model_copy(update={"labels": labels}))
    against = next(iter(arms))
    values = [] if by is None else sorted(set(rows.groups.tolist()))
    groups = {value: {n: each.take(rows.of(value)) for n, each in answers.items()} for value in values}
    reply: dict[str, Any] = {
        "data": str(data), "rows": len(rows.groups), "by": by, "against": against,
        "metrics": _judged(judge, answers),
        "groups": {v: {"rows": len(rows.of(v)), "metrics": _judged(judge, own)} for v, own in groups.items()},
        "paired": corrected(_tested(judge, answers, against, data.name)), "warnings": warnings,
    }  # fmt: skip
    tests = {(v, n): t for v, own in groups.items() for n, t in _tested(judge, own, against, data.name).items()}
    for (value, name), test in corrected(tests).items():
        reply["groups"][value].setdefault("paired", {})[name] = test
    return reply | {"table": table_of(reply, plan.metric_names[0])}


def _refuse(arms: Mapping[str, Arm], by: str | None) -> None:
    if len(arms) < 2:
        raise TunesmithError("compare: with what? Name at least two models")
    folders = {n: list(a.values()) if isinstance(a, Mapping) else [a] for n, a in arms.items()}
    if by is None and (split := [n for n, a in arms.items() if isinstance(a, Mapping)]):
        raise TunesmithError(f"compare: {split[0]} has a model for each group. Name their column: by=…")
    plans = {name: [read_card(folder)[0] for folder in found] for name, found in folders.items()}
    first = next(iter(plans.values()))[0]
    for name, found in plans.items():
        for plan in found:
            if plan.task.kind != first.task.kind or plan.task.kind not in KINDS:
                raise TunesmithError(
                    f"compare: {name} is a model of task {plan.task.name}. Comparing is for models that give each row "
                    "one label or one number, all the same; judge others one by one: tunesmith.evaluate"
                )


def _values(table: Table, by: str | None) -> NDArray[np.str_]:
    if by is None:
        return np.full(len(table.rows), "")
    column = find_column(by, table.columns, table.source)
    return np.array(["" if cells.get(column) is None else str(cells[column]) for _, cells in table.rows])


def _answered(name: str, arm: Arm, rows: _Rows, load: Load, progress: Progress) -> tuple[Answers, list[str]]:
    """Answers of an arm on all rows; where it is several models, each on its own group."""
    if isinstance(arm, Path):
        return _all_of(name, load(arm), rows.table, progress)
    found, told, places = [], [], []
    for value in sorted(set(rows.groups.tolist())):
        if value not in arm:
            raise TunesmithError(f"compare: {name}: {unknown('group', value, arm)}. Name a model for each group")
        own, warnings = _all_of(name, load(arm[value]), rows.part(rows.of(value)), progress)
        found.append(own)
        told += [f"{value}: {text}" for text in warnings]
        places.append(rows.of(value))
    labels = tuple(dict.fromkeys(label for each in found for label in each.labels))
    found = [_relabelled(each, labels) for each in found]
    order = np.argsort(np.concatenate(places))

    def whole(parts: Sequence[Any]) -> Any:
        return None if any(part is None for part in parts) else np.concatenate(parts)[order]

    truth, predicted, scores = (whole([getattr(each, w) for each in found]) for w in ("truth", "predicted", "scores"))
    return replace(found[0], truth=truth, predicted=predicted, scores=scores), told


def _all_of(name: str, model: Model, table: Table, progress: Progress) -> tuple[Answers, list[str]]:
    """Answers of a model on every row of a table: rows of two models are compared one by one."""
    answers, warnings = answers_on(model, table, progress)
    if answers.rows != len(table.rows) or answers.queries is not None:
        why = "ranks candidates of a query" if answers.queries is not None else "its steps leave rows out"
        raise TunesmithError(f"compare: {name} {why}, and here every row is compared by itself. Use tunesmith.evaluate")
    return answers, warnings


def _relabelled(answers: Answers, labels: tuple[str, ...]) -> Answers:
    """The same answers among these labels, of which a model may know some: it never answers with the others."""
    if answers.kind != "classes" or answers.labels == labels:
        return answers
    to = np.array([*(labels.index(label) for label in answers.labels), -1])
    scores = None
    if answers.scores is not None:
        scores = np.zeros((answers.rows, len(labels)))
        scores[:, to[:-1]] = answers.scores
    positive = None if answers.positive is None else int(to[answers.positive])
    truth, predicted = to[answers.truth.astype(int)], to[answers.predicted.astype(int)]
    return replace(answers, truth=truth, predicted=predicted, scores=scores, labels=labels, positive=positive)


def _with_one_truth(answers: dict[str, Answers]) -> dict[str, Answers]:
    """A label that one arm never saw is known from another: the truth is the same for all, and that arm is wrong."""
    if next(iter(answers.values())).kind != "classes":
        return answers
    truth = np.max([each.truth.astype(np.int64) for each in answers.values()], axis=0)
    return {name: replace(each, truth=truth) for name, each in answers.items()}


def _judged(judge: Judge, answers: Mapping[str, Answers]) -> dict[str, Any]:
    return {name: judge.full(each, taught=False) for name, each in answers.items()}


def _tested(judge: Judge, answers: Mapping[str, Answers], against: str, split: str) -> dict[Any, dict[str, Any]]:
    """Each arm minus the one that it is tested against."""
    return {
        name: paired(judge, each, {against: answers[against]}, split)[against]
        for name, each in answers.items() if name != against
    }  # fmt: skip


def table_of(reply: Mapping[str, Any], metric: str) -> str:
    """The main metric as a Markdown table: arms by groups, and what the paired test on all rows says."""
    groups = list(reply["groups"])
    header = [
        "",
        f"{metric}, {reply['rows']} rows",
        *(f"{v or '(none)'}, {reply['groups'][v]['rows']}" for v in groups),
    ]
    lines = [[*header, f"minus {reply['against']}", "p (Holm)"]]
    for name, found in reply["metrics"].items():
        test = reply["paired"].get(name)
        apart = ["", ""]
        if test is not None:
            by = test["difference"]
            apart = [f"{_plain(by['value'], '+')} [{_plain(by['low'], '+')}, {_plain(by['high'], '+')}]",
                     _plain(test.get("p_holm"))]  # fmt: skip
        own = [_plain(reply["groups"][v]["metrics"][name][metric]["value"]) for v in groups]
        lines.append([name, _plain(found[metric]["value"]), *own, *apart])
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.3f}"

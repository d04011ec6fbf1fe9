"""Judging an instalment: what the model still knows of those before it, as a matrix with intervals.

    after \\ on    1        2        3
    1           0.91
    2           0.84     0.93
    3           0.86     0.90     0.95       backward transfer: mean of (last row - diagonal)

Each row was measured when its instalment ended, on the held-out rows that the model kept (`replay.keep`).
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tunesmith.data import Record
from tunesmith.data.ledger import Ledger
from tunesmith.data.table import read
from tunesmith.earlier import Earlier, Interval, drawn, forgetting, records_in
from tunesmith.errors import TunesmithError
from tunesmith.evaluation.judge import Judge, answers_of
from tunesmith.metrics import METRICS, Answers
from tunesmith.model import CARD, Model, load, saved
from tunesmith.prepare import run_steps
from tunesmith.tasks import Array, Encoded
from tunesmith.training.given import NO_AIDS, Aids


def judged(model: Model, before: Earlier, held: Sequence[Record], name: str) -> dict[str, Any]:
    """{metric, better, names, values, rows, backward_transfer, forgetting} after this instalment, its own held-out rows
    last. A metric that is lower when better is turned round for the last two, so that losing is negative there."""
    metric = before.metric or model.plan.metric_names[0]
    tests = (*before.tests, held)
    values = [*map(list, before.values), valued(model, answered(model, tests), metric)]
    return {
        "metric": metric, "better": METRICS.find(metric).better, "names": [*before.names, name], "values": values,
        "rows": [len(rows) for rows in tests], **moved(values, metric),
    }  # fmt: skip


def answered(model: Model, tests: Iterable[Sequence[Record]]) -> list[Answers]:
    """What the model answers to each set of labelled rows."""
    task = model.plan.task
    encoded = [model.encode(rows, task.roles()) for rows in tests]
    return [answers_of(task, model.outputs(each), each, model.facts) for each in encoded]


def valued(model: Model, answers: Iterable[Answers], metric: str) -> list[Interval]:
    """The metric of each set of answers, with its interval."""
    by = Judge(model.plan, model.facts)
    return [by.full(each)[metric] for each in answers]


def moved(values: Sequence[Sequence[Interval]], metric: str) -> dict[str, float | None]:
    """{backward_transfer, forgetting} of a matrix of that metric, turned round where lower is better."""
    sign = -1 if METRICS.find(metric).better == "lower" else 1
    return forgetting([[sign * _number(cell["value"]) for cell in row] for row in values])


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def own_test(splits: dict[str, Sequence[Record]], count: int) -> list[Record]:
    """The held-out rows that stand for this instalment later."""
    return drawn(splits.get("test") or splits["validation"], count)


def aids(model: Model, before: Earlier, rows: Sequence[Record]) -> Aids:
    """What the plan's penalties may ask for: old rows, and what a teacher says of the training rows."""
    replay = model.plan.replay.file
    old = NO_AIDS.old if replay is None and before.rows is None else lambda: _old(model, before)
    return Aids(old, lambda path: _taught(model, path, rows))


def _old(model: Model, before: Earlier) -> Encoded:
    return model.encode(old_rows(model, before), model.plan.task.roles())


def old_rows(model: Model, before: Earlier) -> Sequence[Record]:
    """The rows of earlier instalments that there are: those of `replay.file`, or those that the base kept."""
    plan = model.plan
    if plan.replay.file is None:
        assert before.rows is not None, "rows were kept"
        return list(records_in(before.rows, before))
    ledger = Ledger()
    rows, roles = plan.task.taken_in(ledger.add(read(plan.replay.file, plan.data.format))), plan.task.roles()
    rows = run_steps(plan, "every_row", rows, roles, ledger)
    return run_steps(plan, "learnt", rows, roles, ledger, model.facts.steps)


def _taught(model: Model, path: str | None, rows: Sequence[Record]) -> tuple[Array, list[int]]:
    """The teacher's outputs in the order, and on the scale, of ours."""
    if path is None and not (model.base.folder / CARD).is_file():
        raise TunesmithError(
            f"penalties: distill has no teacher: base {model.base.name} is not tuned. Name one: "
            "{name: distill, teacher: RUN}"
        )
    teacher = load(model.base.folder if path is None else saved(path))
    task, facts = teacher.plan.task, teacher.facts
    if task.kind != model.plan.task.kind:
        raise TunesmithError(
            f"penalties: distill: the teacher was made for task {task.name}, which answers otherwise than "
            f"{model.plan.task.name}. Name another"
        )
    outputs_NT = teacher.outputs(teacher.encode(rows, task.roles(labelled=False)))
    if task.kind == "numbers":
        return ((outputs_NT * facts.scale + facts.center - model.facts.center) / model.facts.scale), [0]
    known = [name for name in facts.labels if name in model.facts.labels]
    if not known:
        raise TunesmithError("penalties: distill: the teacher knows none of the labels. Name another, or remove it")
    columns = [facts.labels.index(name) for name in known]
    return np.ascontiguousarray(outputs_NT[:, columns]), [model.facts.labels.index(name) for name in known]

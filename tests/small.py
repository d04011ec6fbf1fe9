"""Small models and loops in memory for tests: no run folder, no files, a fraction of a second each."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.bases.load import load_tokenizer
from tunesmith.data import Record
from tunesmith.model import Model, build
from tunesmith.plan import Plan
from tunesmith.plan_text import make_plan
from tunesmith.tasks import Encoded
from tunesmith.training.given import Job
from tunesmith.training.loop import Loop

TEXTS = (
    "the pump leaks oil", "the fan is too hot and the motor stops at night", "泵漏油", "pressure drops below the limit",
    "belt slips", "the bearing is worn and makes a noise", "sensor reads nothing", "oil on the floor of the hall",
    "goal", "the team wins the match after a late penalty in the second half",
)  # fmt: skip
LABELS = ("a", "b", "c", "a", "b", "c", "a", "b", "c", "a")


def records(texts: Sequence[str] = TEXTS, labels: Sequence[Any] = LABELS, **columns: Sequence[Any]) -> list[Record]:
    """Rows with a text, a label and further columns."""
    rows = zip(texts, labels, strict=True)
    return [
        Record(i, "t.csv", i + 1, i + 2, {"text": t, "label": y, **{c: v[i] for c, v in columns.items()}})
        for i, (t, y) in enumerate(rows)
    ]


def plan(
    base: Path | str, *, task: Any = "classify", method: Any = "full", penalties: Sequence[Any] = (), **train: Any
) -> Plan:
    """A plan; `task` is a name or settings."""
    settings = {"name": task} if isinstance(task, str) else task
    usual = {"text": "text", "label": "label", "max_tokens": 32}
    if "task" in settings:  # one around another
        settings = settings | {"task": {**usual, **settings["task"]}}
        usual = {}
    return make_plan(
        {
            "task": {**usual, **settings},
            "base": str(base), "data": "unused.csv", "method": method,
            "penalties": list(penalties), "train": {"epochs": 1, "batch": 8, "warmup": 0.0, "keep": "last", **train},
        }
    )  # fmt: skip


def model(asked: Plan, rows: Sequence[Record]) -> Model:
    """A fresh model for a plan, its facts learnt from the rows."""
    found = asked.base.found()
    return build(asked, asked.task.study(rows, asked.task.roles()), found, load_tokenizer(found))


def encoded(made: Model, rows: Sequence[Record], weights: Sequence[float] | None = None) -> Encoded:
    """The rows as the model reads them, with these weights."""
    out = made.encode(rows, made.plan.task.roles())
    if weights is not None:
        out.weights = np.array(weights, dtype=np.float32)
    return out


def loop(
    made: Model, train: Encoded, validation: Encoded | None = None,
    judge: Callable[[Any], Mapping[str, float]] | None = None,
) -> Loop:  # fmt: skip
    """A loop in memory; unless told otherwise every evaluation is worth 0."""
    flat = {made.plan.best_metric: 0.0}
    return Loop(
        Job(made, train, train if validation is None else validation, judge or (lambda _: flat), Path(), save=False)
    )

"""A metric of one of several tasks: `failure.macro_f1` is macro F1 on the rows of the task `failure`."""

from functools import cache
from typing import Any, ClassVar

from tunesmith.errors import unknown
from tunesmith.metrics import METRICS, Answers, Floats, Kind, Metric


@cache
def of(part: str, metric: str) -> type[Metric]:
    """The metric of that name, measured on that task alone. Raises TunesmithError where there is no such metric."""
    inner = METRICS.find(metric)

    class Of(Metric):
        name: str = f"{part}.{metric}"
        kinds: ClassVar[tuple[Kind, ...]] = ("several",)
        better = inner.better
        picks = inner.picks
        points = inner.points

        def objection(self, plan: Any) -> str | None:
            task = plan.task.of(part)
            if task is None:
                return unknown("task", part, plan.task.tasks)
            if task.kind not in inner.kinds:
                fitting = [f"{part}.{n}" for n in METRICS.names() if task.kind in METRICS.find(n).kinds]
                return f"{part}.{metric} does not fit that task. Fitting: {', '.join(fitting)}"
            return METRICS.make(metric).objection(plan)

        def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
            own = answers.parts[part]
            return METRICS.make(metric).measure(own.answers, weight_RN[:, own.rows])

    return Of

"""The judge: answers of a model -> metrics with intervals, on known labels, with an account of unknown ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tunesmith.data import Record
from tunesmith.errors import TunesmithError
from tunesmith.evaluation.intervals import intervals, number
from tunesmith.metrics import METRICS, Answers, Beside, Metric, Own
from tunesmith.plan import Plan
from tunesmith.tasks import Array, Encoded, Facts, Share, Task

TAUGHT = 20_000
"""Most training rows that metrics learn from."""
Table = dict[str, dict[str, float | None]]
"""{metric: {value, low, high}}; null where undefined (a rank correlation of constant answers)."""


def metrics_of(names: Sequence[str], *, labels: int) -> list[Metric]:
    """The metrics of those names. Raises TunesmithError for one that needs two classes where there are more."""
    found = [METRICS.make(name) for name in names]
    wrong = [name for name, m in zip(names, found, strict=True) if m.two_classes_only and labels != 2]
    if wrong:
        raise TunesmithError(
            f"evaluate.metrics: {', '.join(wrong)} compare a positive with a negative class; these data have {labels} "
            "classes. Use macro_f1, macro_precision, macro_recall"
        )
    return found


def answers_of(task: Task, logits_NC: Array, encoded: Encoded, facts: Facts) -> Answers:
    """What the network's logits of labelled rows answer, beside the truth, ready for metrics."""
    if shares := task.parts(facts):
        return _of_several(shares, logits_NC, encoded)
    predicted, scores = task.answer(logits_NC, facts)
    positive = getattr(task, "positive_index", lambda facts: None)(facts)
    words, truth = encoded.words, task.truth(encoded, facts)
    labels = facts.labels if words is None else facts.labels + words.strange
    return Answers(task.kind, truth, predicted, scores, labels, positive, words=words, queries=encoded.queries)


def _of_several(shares: Sequence[Share], logits_NC: Array, encoded: Encoded) -> Answers:
    """Answers task by task; rows of one text are drawn together."""
    assert encoded.targets is not None
    parts = {}
    for each in shares:
        rows = each.rows(encoded)
        own = answers_of(each.task, logits_NC[rows, each.outputs], each.stub(encoded.targets[rows]), each.facts)
        parts[each.name] = Own(rows, own, each.task.metrics[0])
    texts = number([row.tobytes() for row in encoded.ids], len(encoded))
    return Answers("several", encoded.targets, logits_NC, parts=parts, texts=texts)


def with_questions(
    answers: Answers, plan: Plan, records: Sequence[Record], train: Sequence[Record] | None = None
) -> Answers:
    """Answers of a task that writes, with what its metrics may read beside them: what was asked, the schema, and
    training rows where a metric learns from them."""
    task: Any = plan.task
    asked = np.fromiter((question for question, _ in task.pairs(records)), dtype=object, count=len(records))
    learns = train is not None and any(METRICS.find(name).reads_training for name in plan.metric_names)
    taught = task.pairs(train[:TAUGHT]) if learns and train is not None else None
    return replace(answers, asked=asked, beside=Beside(task.decode.schema, taught))


@dataclass(frozen=True)
class Judge:
    """Judges answers as a plan asks."""

    plan: Plan
    facts: Facts

    @property
    def metrics(self) -> list[Metric]:
        """The plan's metrics."""
        return metrics_of(self.plan.metric_names, labels=len(self.facts.labels))

    def quick(self, logits_NC: Array, encoded: Encoded) -> dict[str, float]:
        """Plain values, during training."""
        answers = answers_of(self.plan.task, logits_NC, encoded, self.facts)
        one = np.ones((1, answers.rows))
        return {
            m.name: float(m.measure(answers, one)[0])
            for m in self.metrics
            if not (m.reads_text and self.plan.task.writes)
        }

    def full(self, answers: Answers, *, written: bool = True, taught: bool = True) -> Table:
        """Values with bootstrap intervals. Without `written` texts, of the metrics that read none; without training
        rows, of those that do not learn from them."""
        evaluate = self.plan.evaluate
        written = written or not self.plan.task.writes
        metrics = [m for m in self.metrics if (written or not m.reads_text) and (taught or not m.reads_training)]
        found = intervals(
            metrics, answers, resamples=evaluate.resamples, seed=self.plan.train.seed, level=evaluate.level,
            groups=answers.groups,
        )  # fmt: skip
        return {name: _plain(each) for name, each in found.items()}

    def signatures(self, answers: Answers) -> dict[str, str]:
        """What a reader must know to compare a value with one measured elsewhere, by metric; of those that say so."""
        told = {metric.name: metric.signature(answers) for metric in self.metrics}
        return {name: text for name, text in told.items() if text}

    def slices(self, answers: Answers, values: Sequence[Any]) -> dict[str, dict[str, Any]]:
        """Metrics by the value of a column: {value: {rows, metric: {value, low, high}}}, largest slices first."""
        column = np.array(["" if v is None else str(v) for v in values])
        names, counts = np.unique(column, return_counts=True)
        largest = sorted(zip(counts, names, strict=True), key=lambda pair: (-pair[0], pair[1]))[:30]
        return {str(name): {"rows": int(count), **self.full(answers.take(column == name))} for count, name in largest}


def _plain(interval: Any) -> dict[str, float | None]:
    def finite(x: float) -> float | None:
        return float(x) if np.isfinite(x) else None

    return {"value": finite(interval.value), "low": finite(interval.low), "high": finite(interval.high)}


def better(names: Sequence[str]) -> Mapping[str, str]:
    """{metric: higher | lower}."""
    return {name: METRICS.find(name).better for name in names}

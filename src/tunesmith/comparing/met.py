"""The answers of all arms, brought together: one set of labels, one truth, the same rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.deciding.pairs import Pair, Side
from tunesmith.errors import TunesmithError
from tunesmith.evaluation.judge import Judge, Table
from tunesmith.metrics import METRICS, Answers, Metric
from tunesmith.plan import Plan
from tunesmith.tasks import Facts


def _no_column(name: str) -> NDArray[np.str_]:
    raise TunesmithError(f"compare: stored predictions hold no column '{name}'. Name the labelled file: --data FILE")


@dataclass(frozen=True)
class Met:
    """All arms on the same rows."""

    plan: Plan
    """Of the first arm."""
    facts: Facts
    sides: dict[str, Side]
    """By arm, the answers of each of its seeds."""
    texts: list[str]
    """(N,) what each row reads; empty where rows are not those of the file."""
    places: list[str]
    warnings: list[str]
    source: str = "stored predictions"
    column: Callable[[str], NDArray[np.str_]] = _no_column
    """What a column says of each row."""

    @property
    def rows(self) -> int:
        """Number N of rows."""
        return next(iter(self.sides.values()))[0].rows

    def metric(self, name: str | None) -> Metric:
        """The metric that is compared, unless named the plan's first that these answers allow."""
        if name is not None and name not in METRICS:
            METRICS.find(name)  # says which there are
        return METRICS.make(name or self.names()[0])

    def names(self) -> list[str]:
        """Metrics of the plan that these answers allow: where only texts are stored, those of texts."""
        likely = all(each.scores is not None for side in self.sides.values() for each in side)
        found = [METRICS.find(name) for name in self.plan.metric_names]
        if self.plan.task.kind == "text" and not likely:
            found = [m for m in found if m.reads_text]
        if not found:
            raise TunesmithError("compare: no metric of the plan can be measured on what is stored. Pass --data FILE")
        return [n for n in self.plan.metric_names if METRICS.find(n) in found and not METRICS.find(n).reads_training]

    def judge(self, metric: Metric, *, alone: bool = False) -> Judge:
        """Who measures the metric, and unless it stands alone the plan's, too."""
        names = tuple(dict.fromkeys([metric.name, *([] if alone else self.names())]))
        evaluate = self.plan.evaluate.model_copy(update={"metrics": names})
        return Judge(self.plan.model_copy(update={"evaluate": evaluate}), self.facts)

    def pair(self, metric: Metric, a: str, b: str) -> Pair:
        """Two arms."""
        return Pair(metric, self.sides[a], self.sides[b])


def meet(
    plan: Plan, facts: Facts, sides: Mapping[str, Sequence[Answers]], texts: list[str], places: list[str],
    warnings: list[str],
) -> Met:  # fmt: skip
    """Brings them together. Raises TunesmithError where the arms did not answer the same rows."""
    every = [each for side in sides.values() for each in side]
    if every[0].kind == "classes":
        labels = tuple(dict.fromkeys(label for each in every for label in each.labels))
        truth = _one_truth([relabelled(each, labels).truth for each in every])
        sides = {n: [replace(relabelled(e, labels), truth=truth) for e in side] for n, side in sides.items()}
        facts = facts.model_copy(update={"labels": labels})
    if len({each.rows for each in every}) > 1:
        counts = ", ".join(f"{name} {side[0].rows}" for name, side in sides.items())
        raise TunesmithError(f"compare: the arms answered different numbers of rows ({counts}): their steps leave rows "
                             "out. Give them the same steps")  # fmt: skip
    if len(texts) != every[0].rows:
        texts, places = [], []
    return Met(plan, facts, {n: tuple(side) for n, side in sides.items()}, texts, places, warnings)


def relabelled(answers: Answers, labels: tuple[str, ...]) -> Answers:
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


def _one_truth(truths: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """A label that one arm never saw is known from another: the truth is the same for all, and that arm is wrong."""
    if len({len(truth) for truth in truths}) > 1:
        raise TunesmithError(f"compare: the arms answered {' and '.join(str(len(t)) for t in truths)} rows")
    known = np.array(truths, dtype=np.int64)
    truth: NDArray[np.int64] = known.max(0)
    if len(other := np.flatnonzero(((known >= 0) & (known != truth)).any(0))):
        raise TunesmithError(f"compare: {len(other)} rows have another label in one arm than in another, first row "
                             f"{other[0] + 1}: their data differ. Let all answer one file: --data FILE")  # fmt: skip
    return truth


def measured(met: Met, judge: Judge, rows: NDArray[np.bool_] | None = None) -> dict[str, Table]:
    """{arm: {metric: {value, low, high}}}, over seeds where an arm has several."""
    return {name: _of_side(side, judge, rows) for name, side in met.sides.items()}


def _of_side(side: Side, judge: Judge, rows: NDArray[np.bool_] | None) -> Table:
    from tunesmith.deciding.comparison import finite
    from tunesmith.deciding.seeds import two_way

    side = side if rows is None else tuple(each.take(rows) for each in side)
    if len(side) == 1:
        return judge.full(side[0], taught=False)
    out = {}
    for metric in (m for m in judge.metrics if not m.reads_training):
        found = two_way(Pair(metric, (), side), resamples=judge.plan.evaluate.resamples, seed=judge.plan.train.seed)
        low, high = found.interval(judge.plan.evaluate.level) or (None, None)
        out[metric.name] = {"value": finite(found.value), "low": finite(low), "high": finite(high)}
    return out

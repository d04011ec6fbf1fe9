"""Confidence intervals of metrics: the percentile bootstrap over rows, or over groups of rows.

Rows are drawn with replacement, as often as there are rows, and each metric is measured on every draw (Efron 1979).
Drawing is expressed as weights (how often each row was drawn), so that all metrics share one draw and a metric
measures many draws at once. The interval spans the middle `level` of the measured values: the percentile method, which
respects the range of a metric and needs no formula. It does not correct bias: a metric that every resample distorts in
one direction (ece) has an interval shifted that way, and where every answer is right it has no width.

Shape letters: R resamples, N rows, G groups.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunesmith.errors import TunesmithError
from tunesmith.metrics import METRICS, Answers, Floats, Ints, Metric
from tunesmith.metrics._pairs import UNTOLD
from tunesmith.metrics._texts import pairs

CELLS = 4_000_000
"""Most elements of a weight matrix (32 MB of float64)."""


@dataclass(frozen=True)
class Interval:
    """A measured value with its confidence interval; `undefined` resamples had no value and are left out of it."""

    value: float
    low: float
    high: float
    undefined: int = 0


def intervals(
    metrics: Sequence[Metric],
    answers: Answers,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    groups: Sequence[object] | NDArray[np.generic] | None = None,
) -> dict[str, Interval]:
    """Each metric's value and interval, by name. `groups` (an id a row) draws whole groups, for rows that depend."""
    check(metrics, answers)
    num = answers.rows
    value = {metric.name: float(metric.measure(answers, np.ones((1, num)))[0]) for metric in metrics}
    drawn: dict[str, list[Floats]] = {metric.name: [] for metric in metrics}
    for weight_RN in draws(num, resamples, seed, groups):
        for metric in metrics:
            drawn[metric.name].append(metric.measure(answers, weight_RN))
    return {name: spread(value[name], np.concatenate(parts), level) for name, parts in drawn.items()}


def spread(value: float, value_R: Floats, level: float) -> Interval:
    """The middle `level` of the defined values of the resamples."""
    defined = value_R[~np.isnan(value_R)]
    undefined = len(value_R) - len(defined)
    if not len(defined):
        return Interval(value, float("nan"), float("nan"), undefined)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), undefined)


def draws(
    num: int, resamples: int, seed: int, groups: Sequence[object] | NDArray[np.generic] | None = None
) -> Iterator[Floats]:
    """Bootstrap weights (some R, N), chunk by chunk; the numbers do not depend on the size of the chunks."""
    generator = np.random.default_rng(seed)
    group_N = None if groups is None else number(groups, num)
    size = num if group_N is None else int(group_N.max()) + 1
    step = max(1, CELLS // num)
    for start in range(0, resamples, step):
        pick_RG = generator.integers(0, size, (min(step, resamples - start), size))
        times_GR = _times(pick_RG)
        # The transpose of an (N, R) matrix, so that metrics can walk it row by row without a copy.
        yield (times_GR if group_N is None else times_GR[group_N]).T


def _times(pick_RG: Ints) -> Floats:
    rows, size = pick_RG.shape
    flat = pick_RG * rows + np.arange(rows)[:, None]
    return np.bincount(flat.ravel(), minlength=rows * size).reshape(size, rows).astype(np.float64)


def number(groups: Sequence[object] | NDArray[np.generic], num: int) -> Ints:
    """Number of each row's group, in order of appearance."""
    if len(groups) != num:
        raise TunesmithError(f"groups: {len(groups)} group ids for {num} rows; give one id a row")
    known: dict[object, int] = {}
    return np.array([known.setdefault(group, len(known)) for group in groups], dtype=np.int64)


def check(metrics: Sequence[Metric], answers: Answers) -> None:
    """Refuses metrics that do not fit the answers, and answers that cannot be measured."""
    for metric in metrics:
        if answers.kind not in metric.kinds:
            fit = [name for name in METRICS.names() if answers.kind in METRICS.find(name).kinds]
            raise TunesmithError(
                f"{metric.name}: measures {' and '.join(metric.kinds)}, and these answers are {answers.kind}; "
                f"metrics that fit: {', '.join(fit)}"
            )
    if not answers.rows:
        raise TunesmithError("no rows to measure: the split is empty, or all its rows were left out (see the ledger)")
    if answers.kind == "text":
        _check_text(answers)
    if answers.kind == "pairs" and (answers.scores is None or answers.scores.shape != (len(answers.truth), 8)):
        raise TunesmithError("scores: answers of kind pairs need 8 columns: log-probabilities of both answers, their "
                             "tokens, their log-probabilities before training, their rewards")  # fmt: skip
    for what in ("scores",) if answers.kind == "text" else ("truth", "predicted", "scores"):
        column = getattr(answers, what)
        if what == "scores" and answers.kind == "pairs" and np.isnan(column[:, UNTOLD]).all():
            column = np.delete(column, UNTOLD, 1)  # of a reward model nobody knows log-probabilities
        if column is not None and not np.isfinite(column).all():
            rows = np.flatnonzero(~np.isfinite(column.reshape(len(column), -1)).all(1))
            raise TunesmithError(
                f"{what}: {len(rows)} of {len(column)} rows hold NaN or infinity, first row {rows[0] + 1}; "
                "a model that answers so has diverged: lower the learning rate, or leave these rows out"
            )


def _check_text(answers: Answers) -> None:
    pairs(answers)  # refuses rows without a reference, and whatever is no string
    if answers.scores is not None and answers.scores.shape != (len(answers.truth), 4):
        raise TunesmithError(
            f"scores: have the shape {answers.scores.shape}; answers of kind text need {(len(answers.truth), 4)}: "
            "negative log-likelihood, tokens, tokens that were most likely, bytes"
        )

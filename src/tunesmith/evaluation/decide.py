"""From scores to decisions: rules chosen on validation rows and stored with the model.

A score is answered positive when it is >= the threshold. All rules are plain numbers, so that what was chosen is what
is stored and served.

Shape letters: N rows, C classes, D decisions, K candidate thresholds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunesmith.errors import TunesmithError
from tunesmith.metrics import Answers, Floats, Ints, Metric

MIN_POSITIVES = 5
"""Labels with fewer positive validation rows share the common threshold; see best_thresholds."""
PULL = 20
"""How many rows the common threshold counts for against a label's own positive rows."""


@dataclass(frozen=True)
class Threshold:
    """A threshold, and what the metric was on the rows it was chosen on (an optimistic number)."""

    threshold: float
    value: float


def best_threshold(scores_N: Floats, truth_N: NDArray[np.generic], metric: Metric) -> Threshold:
    """The threshold at which the metric is best, among all that differ in an answer.

    Candidates lie halfway between neighbouring distinct scores, and just outside them all. Among equally good ones the
    one nearest to 0.5 is taken. Rows of one class only teach nothing: the answer is then 0.5.
    """
    true_N: NDArray[np.bool_] = np.asarray(truth_N) == 1
    if true_N.all() or not true_N.any():
        return Threshold(0.5, float(_values(metric, _cells(scores_N, true_N, np.array([0.5])))[0]))
    threshold_K = _candidates(np.unique(scores_N))
    value_K = _values(metric, _cells(scores_N, true_N, threshold_K))
    value_K = value_K if metric.better == "higher" else -value_K
    # Equal but for rounding: the same value reached by other counts must not hide the threshold nearest to 0.5.
    best_K = np.flatnonzero(value_K >= np.nanmax(value_K) - 1e-12)
    best = best_K[np.argmin(np.abs(threshold_K[best_K] - 0.5))]
    return Threshold(float(threshold_K[best]), float(abs(value_K[best]) if metric.better == "lower" else value_K[best]))


def _candidates(distinct: Floats) -> Floats:
    between = distinct[:-1] + (distinct[1:] - distinct[:-1]) / 2
    # Halfway between two neighbouring floats is one of them; the upper one still separates them.
    between = np.where(between > distinct[:-1], between, distinct[1:])
    threshold_K: Floats = np.r_[distinct[0], between, np.nextafter(distinct[-1], np.inf)]
    return threshold_K


def _cells(scores_N: Floats, truth_N: NDArray[np.bool_], threshold_K: Floats) -> Floats:
    """True negatives, false positives, false negatives and true positives at each threshold, (K, 4)."""
    positive, negative = np.sort(scores_N[truth_N]), np.sort(scores_N[~truth_N])
    missed_K = np.searchsorted(positive, threshold_K, side="left")
    passed_K = np.searchsorted(negative, threshold_K, side="left")
    return np.stack([passed_K, len(negative) - passed_K, missed_K, len(positive) - missed_K], axis=1).astype(np.float64)


def _values(metric: Metric, cells_K4: Floats) -> Floats:
    # Four rows, one a cell of the table, weighted by how many rows lie there: any metric of counts, all thresholds.
    cells = Answers("classes", np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), labels=("no", "yes"))
    try:
        return metric.measure(cells, cells_K4)
    except TunesmithError as error:
        raise TunesmithError(f"no threshold can be chosen by {metric.name}: {error}") from error


def best_thresholds(
    scores_NC: Floats, truth_NC: NDArray[np.generic], *, min_positives: int = MIN_POSITIVES, pull: int = PULL
) -> Floats:
    """A threshold a label for multilabel answers, chosen by F1 and drawn toward a common one.

    The common threshold is the best for F1 over all decisions. A label with n positive rows gets
    (n own + pull common) / (n + pull), and one with n < min_positives the common threshold alone: a threshold tuned on
    a handful of rows fits their noise. Macro F1 on goemotions (TF-IDF), chosen on 300, 1,000 and 5,426 rows: .455,
    .456, .471; without pull and minimum .439, .459, .476; one threshold for all .455, .452, .455.
    The pull presumes scores that mean about the same for each label, as those of models trained with log loss do; for
    others take pull=0 (simulated: +.016 on calibrated scores, -.023 on uncalibrated ones, both with 300 rows).
    """
    from tunesmith.metrics.f1 import F1

    truth_NC = np.asarray(truth_NC)
    common = best_threshold(scores_NC.ravel(), truth_NC.ravel(), F1()).threshold
    threshold_C = np.full(scores_NC.shape[1], common)
    for label, (scores_N, truth_N) in enumerate(zip(scores_NC.T, truth_NC.T, strict=True)):
        positives = int((truth_N == 1).sum())
        if positives >= max(1, min_positives):
            own = best_threshold(scores_N, truth_N, F1()).threshold
            threshold_C[label] = (positives * own + pull * common) / (positives + pull)
    return threshold_C


def cost_decision(probabilities_NC: Floats, costs_CD: Floats) -> Ints:
    """The decision of least expected cost for each row; of equally cheap ones the first.

    `costs_CD[c, d]` is what decision d costs when c is true. A further column can stand for "ask a human".
    """
    costs_CD = np.asarray(costs_CD, dtype=np.float64)
    if costs_CD.ndim != 2 or len(costs_CD) != probabilities_NC.shape[1] or not np.isfinite(costs_CD).all():
        raise TunesmithError(
            f"costs: need {probabilities_NC.shape[1]} rows of finite numbers, one a true class in the order of the "
            f"labels, with one column a decision; these have the shape {costs_CD.shape}"
        )
    decision_N: Ints = np.argmin(probabilities_NC @ costs_CD, axis=1)
    return decision_N

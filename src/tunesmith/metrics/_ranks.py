"""Weighted ranking statistics: one sort and cumulative weights give AUC, average precision and rank correlation.

Shape letters: R resamples, N rows, G distinct scores at which there is a positive row, highest first.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunesmith.metrics import Answers, Floats
from tunesmith.metrics._counts import (
    chunks,
    classes,
    divide,
    num_classes,
    positive,
    ratio,
    scores,
    segments,
    sums,
    turned,
)


@dataclass(frozen=True)
class Steps:
    """Weights (G, R) at the thresholds where recall grows; curves need no other point."""

    hit: Floats
    """Positive rows with exactly this score."""
    tied: Floats
    """All rows with exactly this score."""
    above: Floats
    """All rows with a higher score."""
    total: Floats
    """All rows, (R,)."""

    def auc(self) -> Floats:
        """P(a positive outranks a negative) + P(tie) / 2."""
        found_GR = np.cumsum(self.hit, axis=0)
        hits_R = self.hit.sum(0)
        misses_R = self.total - hits_R
        lost_GR = self.above - (found_GR - self.hit) + (self.tied - self.hit) / 2
        return divide((self.hit * (misses_R - lost_GR)).sum(0), hits_R * misses_R)

    def average_precision(self) -> Floats:
        """Sum of precision times growth of recall; NaN without positives."""
        found_GR = np.cumsum(self.hit, axis=0)
        precision_GR = ratio(found_GR, self.above + self.tied)
        return divide((self.hit * precision_GR).sum(0), self.hit.sum(0))

    def fpr_at(self, recall: float) -> Floats:
        """Smallest false-positive rate of a threshold that finds this share of the positives."""
        found_GR = np.cumsum(self.hit, axis=0)
        if not len(found_GR):
            return np.full(self.total.shape, np.nan)
        first_R = np.argmax(ratio(found_GR, np.broadcast_to(found_GR[-1], found_GR.shape)) >= recall, axis=0)
        false_GR = self.above + self.tied - found_GR
        false_R = np.take_along_axis(false_GR, first_R[None], axis=0)[0]
        return np.where(found_GR[-1] > 0, divide(false_R, self.total - found_GR[-1]), np.nan)


def steps(weight_NR: Floats, score_N: Floats, positive_N: NDArray[np.bool_]) -> Steps:
    """Rows sorted once by falling score and summed between the thresholds; weights lie row by row for speed."""
    if not len(score_N):
        return Steps(weight_NR, weight_NR, weight_NR, weight_NR.sum(0))
    order = np.argsort(-score_N, kind="stable")
    sorted_N, truth_N = score_N[order], positive_N[order]
    start = np.flatnonzero(np.r_[True, sorted_N[1:] != sorted_N[:-1]])
    end = np.r_[start[1:], len(order)]
    has = np.add.reduceat(truth_N.astype(np.int64), start) > 0
    bounds = np.unique(np.r_[0, start[has], end[has]])
    bounds = bounds[bounds < len(order)]
    tied = np.isin(bounds, start[has])
    part_SR = segments(weight_NR, order, bounds)
    above_SR = np.cumsum(part_SR, axis=0) - part_SR
    first = np.searchsorted(np.flatnonzero(truth_N), start[has])
    hit_GR = segments(weight_NR, order[truth_N], first)
    return Steps(hit_GR, part_SR[tied], above_SR[tied], part_SR.sum(0))


Read = Callable[[Steps], Floats]


def ranked(weight_RN: Floats, score_N: Floats, positive_N: NDArray[np.bool_], read: Read) -> Floats:
    """What `read` makes of the steps of each resample."""
    parts = chunks(*weight_RN.shape)
    return np.concatenate([read(steps(turned(weight_RN[part]), score_N, positive_N)) for part in parts])


def one_against_rest(answers: Answers, weight_RN: Floats, read: Read, name: str, *, empty: float | None) -> Floats:
    """Two classes: the positive one. More, or multilabel: the mean over classes in which the value is defined.

    `empty` is the value of a label (multilabel) or a positive class (of two) that no row has; None leaves it out.
    """
    score_NC, truth = scores(answers, name), answers.truth
    if answers.kind == "classes" and num_classes(answers) == 2:
        yes = positive(answers, name)
        value_R = ranked(weight_RN, score_NC[:, yes], classes(answers)[0] == yes, read)
        return value_R if empty is None else np.where(np.isnan(value_R), empty, value_R)
    hot_NC = truth == 1 if answers.kind == "multilabel" else truth[:, None] == np.arange(score_NC.shape[1])
    total_R, defined_R = np.zeros((2, len(weight_RN)))
    for part in chunks(*weight_RN.shape):
        weight_NR = turned(weight_RN[part])
        for score_N, positive_N in zip(score_NC.T, hot_NC.T, strict=True):
            value_R = read(steps(weight_NR, score_N, positive_N))
            if empty is not None and answers.kind == "multilabel":
                value_R = np.where(np.isnan(value_R), empty, value_R)
            total_R[part] += np.where(np.isnan(value_R), 0.0, value_R)
            defined_R[part] += ~np.isnan(value_R)
    return divide(total_R, defined_R)


def ranks(weight_RN: Floats, value_N: Floats) -> Floats:
    """Mean rank (R, N) of each row among the rows as often as they count, but for a constant shift."""
    distinct, group_N = np.unique(value_N, return_inverse=True)
    size_RG = sums(weight_RN, group_N, len(distinct))
    rank_RG = np.cumsum(size_RG, axis=1) - size_RG / 2
    return rank_RG[:, group_N]


def correlation(weight_RN: Floats, x_RN: Floats, y_RN: Floats) -> Floats:
    """Pearson correlation of each resample; NaN where either side is constant. x and y may be (1, N)."""
    total_R1 = weight_RN.sum(1, keepdims=True)
    dx_RN, dy_RN = _centred(weight_RN, x_RN, total_R1), _centred(weight_RN, y_RN, total_R1)
    together_R = np.einsum("rn,rn,rn->r", weight_RN, dx_RN, dy_RN)
    apart_R = np.sqrt(_squares(weight_RN, dx_RN)) * np.sqrt(_squares(weight_RN, dy_RN))
    defined_R = ~(constant(weight_RN, x_RN) | constant(weight_RN, y_RN))
    return np.clip(divide(together_R, np.where(defined_R, apart_R, 0.0)), -1.0, 1.0)


def _centred(weight_RN: Floats, value_RN: Floats, total_R1: Floats) -> Floats:
    if len(value_RN) == 1:
        return value_RN - divide(weight_RN @ value_RN.T, total_R1)
    return value_RN - divide(np.einsum("rn,rn->r", weight_RN, value_RN)[:, None], total_R1)


def _squares(weight_RN: Floats, d_RN: Floats) -> Floats:
    total_R: Floats = np.einsum("rn,rn,rn->r", weight_RN, d_RN, d_RN)
    return total_R


def constant(weight_RN: Floats, value_RN: Floats) -> NDArray[np.bool_]:
    """Whether the rows that count all have one value. By comparison: a variance would hold rounding noise."""
    counted_RN = weight_RN > 0
    low_R = np.where(counted_RN, value_RN, np.inf).min(1, initial=np.inf)
    high_R = np.where(counted_RN, value_RN, -np.inf).max(1, initial=-np.inf)
    same_R: NDArray[np.bool_] = low_R >= high_R
    return same_R


def correlate(weight_RN: Floats, x_N: Floats, y_N: Floats, *, ranked: bool) -> Floats:
    """Spearman (ranked) or Pearson correlation, in chunks of resamples."""
    result_R = np.empty(len(weight_RN))
    # Several matrices of the chunk's size live at once.
    for part in chunks(len(weight_RN), 4 * max(1, weight_RN.shape[1])):
        weight = weight_RN[part]
        pair = (ranks(weight, x_N), ranks(weight, y_N)) if ranked else (x_N[None], y_N[None])
        result_R[part] = correlation(weight, *pair)
    return result_R

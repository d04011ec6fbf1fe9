"""Weighted counts behind the metrics of classes: hits, truths and answers of each class, for R weightings at once.

Shape letters: R resamples, N rows, C classes, K classes and the unknown one where there is any.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunesmith.errors import TunesmithError
from tunesmith.metrics import Answers, Floats, Ints

CELLS = 8_000_000
"""Most elements of a temporary matrix (64 MB of float64)."""


@dataclass(frozen=True)
class Counts:
    """How often each class is true, answered, and both, each (R, K); `seen`: which classes an average runs over."""

    hit: Floats
    truth: Floats
    answer: Floats
    seen: NDArray[np.bool_]

    def precision(self) -> Floats:
        """Share of the answers that are right, 0 for a class that is never answered."""
        return ratio(self.hit, self.answer)

    def recall(self) -> Floats:
        """Share of the truth that is found, 0 for a class that is never true."""
        return ratio(self.hit, self.truth)

    def f1(self) -> Floats:
        """Harmonic mean of both, as 2 hits / (truths + answers)."""
        return ratio(2 * self.hit, self.truth + self.answer)

    def macro(self, value_RK: Floats) -> Floats:
        """Plain mean over the classes seen; NaN where a resample holds no row."""
        return divide(np.where(self.seen, value_RK, 0.0).sum(1), self.seen.sum(1))


def chunks(num: int, width: int) -> Iterator[slice]:
    """Slices of `num` resamples, such that a slice times `width` stays below CELLS."""
    step = max(1, CELLS // max(1, width))
    return (slice(start, start + step) for start in range(0, num, step))


def ratio(part: Floats, whole: Floats) -> Floats:
    """part / whole, and 0 where whole is 0 (scikit-learn's zero_division=0)."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole > 0)


def divide(part: Floats, whole: Floats | Ints) -> Floats:
    """part / whole, and NaN where whole is 0: the value is not defined there."""
    result: Floats = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
    return result


def mean(weight_RN: Floats, value_N: Floats) -> Floats:
    """Weighted mean over the rows."""
    total_R: Floats = weight_RN.sum(1)
    return divide(weight_RN @ value_N, total_R)


def turned(weight_RN: Floats) -> Floats:
    """The weights row by row (N, R). Costs nothing for weights that lie so in memory, as those of intervals.py do."""
    return np.ascontiguousarray(weight_RN.T)


def segments(weight_NR: Floats, order: Ints, start: Ints, value_N: Floats | None = None) -> Floats:
    """Sums (S, R) of the ordered rows from each start to the next.

    A sparse product: three times as fast as gathering rows for np.add.reduceat, and without a copy of the weights.
    """
    from scipy.sparse import csr_array

    value = np.ones(len(order)) if value_N is None else value_N[order]
    pick_SN = csr_array((value, order, np.r_[start, len(order)]), shape=(len(start), len(weight_NR)))
    total_SR: Floats = pick_SN @ weight_NR
    return total_SR


def sums(weight_RN: Floats, group_N: Ints, num: int, value_N: Floats | None = None) -> Floats:
    """Sum of the weights (times a value) in each of `num` groups; rows of group -1 belong to none."""
    order = np.argsort(group_N, kind="stable")
    order = order[group_N[order] >= 0]
    return segments(turned(weight_RN), order, np.searchsorted(group_N[order], np.arange(num)), value_N).T


def num_classes(answers: Answers) -> int:
    """How many classes the model knows."""
    if answers.labels:
        return len(answers.labels)
    if answers.scores is not None:
        return int(answers.scores.shape[1])
    if answers.kind == "multilabel":
        return int(answers.truth.shape[1])
    truth, predicted = classes(answers)
    return max(2, int(max(truth.max(initial=0), predicted.max(initial=0))) + 1)


def classes(answers: Answers) -> tuple[Ints, Ints]:
    """Truth and answers as whole numbers."""
    return answers.truth.astype(np.int64), answers.predicted.astype(np.int64)


def numbers(answers: Answers) -> tuple[Floats, Floats]:
    """Truth and answers as floats."""
    if answers.kind == "vectors":
        return answers.truth[:, 0].astype(np.float64), answers.predicted.astype(np.float64)
    return answers.truth.astype(np.float64), answers.predicted.astype(np.float64)


def scores(answers: Answers, name: str) -> Floats:
    """The scores (N, C). Raises TunesmithError where the model gave none."""
    if answers.scores is None:
        raise TunesmithError(
            f"{name}: needs a score for each class, and these answers hold none; "
            "take a metric of the answers alone, such as macro_f1, or store the scores with the predictions"
        )
    return answers.scores


def counts(answers: Answers, weight_RN: Floats) -> Counts:
    """Counts of each class, for classes and multilabel."""
    if answers.kind == "multilabel":
        return _counts_of_columns(answers, weight_RN)
    truth_N, answer_N = classes(answers)
    num = num_classes(answers)
    num_seen = num + bool((truth_N < 0).any())
    truth_N = np.where(truth_N < 0, num, truth_N)
    hit_RK = sums(weight_RN, np.where(truth_N == answer_N, truth_N, -1), num_seen)
    truth_RK, answer_RK = sums(weight_RN, truth_N, num_seen), sums(weight_RN, answer_N, num_seen)
    return Counts(hit_RK, truth_RK, answer_RK, truth_RK + answer_RK > 0)


def _counts_of_columns(answers: Answers, weight_RN: Floats) -> Counts:
    truth_NC, answer_NC = numbers(answers)
    truth_RC, answer_RC = weight_RN @ truth_NC, weight_RN @ answer_NC
    # scikit-learn averages over every column, also one that is never true and never answered (its F1 is 0).
    seen_RC = np.broadcast_to(weight_RN.sum(1, keepdims=True) > 0, truth_RC.shape)
    return Counts(weight_RN @ (truth_NC * answer_NC), truth_RC, answer_RC, seen_RC)


def positive(answers: Answers, name: str) -> int:
    """Number of the positive class. Raises TunesmithError unless there are two classes."""
    if num_classes(answers) != 2:
        raise TunesmithError(
            f"{name}: is defined for two classes, and these answers have {num_classes(answers)}; "
            "use macro_f1, macro_precision, macro_recall or balanced_accuracy"
        )
    return 1 if answers.positive is None else answers.positive


def cells(answers: Answers, weight_RN: Floats, name: str) -> tuple[Floats, Floats, Floats, Floats]:
    """True positives, false positives, false negatives and true negatives of a two-class problem, each (R,)."""
    yes = positive(answers, name)
    truth_N, answer_N = classes(answers)
    cell_R4 = sums(weight_RN, 2 * (truth_N == yes).astype(np.int64) + (answer_N == yes), 4)
    return cell_R4[:, 3], cell_R4[:, 1], cell_R4[:, 2], cell_R4[:, 0]


def confidence(answers: Answers, name: str) -> tuple[Floats, Floats]:
    """Probability of the answer given, and 1 where that answer is right."""
    score_NC = scores(answers, name)
    truth_N, answer_N = classes(answers)
    return score_NC[np.arange(len(answer_N)), answer_N], (truth_N == answer_N).astype(np.float64)


def bin_of(value_N: Floats, bins: int) -> Ints:
    """Number of the equally wide bin (low, high] of [0, 1] that holds each value; 0 lies in the first."""
    return np.clip(np.digitize(value_N, np.linspace(0, 1, bins + 1), right=True) - 1, 0, bins - 1)

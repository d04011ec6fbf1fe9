"""Numbers behind the plots and tables of a report; drawing is done elsewhere.

Shape letters: N rows, C classes, K classes and the unknown one where there is any, B bins, T thresholds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunesmith.metrics import Answers, Floats, Ints
from tunesmith.metrics._counts import bin_of, classes, confidence, counts, num_classes

UNKNOWN = "(unknown label)"


@dataclass(frozen=True)
class Roc:
    """Points of the ROC curve from (0, 0) to (1, 1); the first threshold, infinity, answers nothing positive."""

    fpr: Floats
    tpr: Floats
    thresholds: Floats


@dataclass(frozen=True)
class PrecisionRecall:
    """Points of the precision-recall curve by rising threshold, with a last point (1, 0) that has no threshold."""

    precision: Floats
    recall: Floats
    thresholds: Floats


@dataclass(frozen=True)
class Reliability:
    """Bins of confidence that hold rows: edges, how sure the answers were, how often right, how many."""

    low: Floats
    high: Floats
    confidence: Floats
    accuracy: Floats
    rows: Ints


@dataclass(frozen=True)
class ClassRow:
    """A class in the report's table; Wilson intervals are None where nothing was answered, or nothing is true."""

    label: str
    precision: float
    precision_interval: tuple[float, float] | None
    recall: float
    recall_interval: tuple[float, float] | None
    f1: float
    support: int
    answered: int


def roc(scores_N: Floats, positive_N: NDArray[np.generic]) -> Roc:
    """The ROC curve without the points that lie on a straight line; a rate without rows behind it is NaN."""
    hits_T, misses_T, threshold_T = _cumulative(scores_N, positive_N)
    if len(hits_T) > 2:
        corner_T = np.r_[True, (np.diff(hits_T, 2) != 0) | (np.diff(misses_T, 2) != 0), True]
        hits_T, misses_T, threshold_T = hits_T[corner_T], misses_T[corner_T], threshold_T[corner_T]
    return Roc(_rate(np.r_[0, misses_T]), _rate(np.r_[0, hits_T]), np.r_[np.inf, threshold_T])


def precision_recall(scores_N: Floats, positive_N: NDArray[np.generic]) -> PrecisionRecall:
    """The precision-recall curve; without a positive row recall is 1, as in scikit-learn."""
    hits_T, misses_T, threshold_T = _cumulative(scores_N, positive_N)
    recall_T = hits_T / hits_T[-1] if len(hits_T) and hits_T[-1] else np.ones(len(hits_T))
    precision_T = hits_T / (hits_T + misses_T)
    return PrecisionRecall(np.r_[precision_T[::-1], 1.0], np.r_[recall_T[::-1], 0.0], threshold_T[::-1])


def _cumulative(scores_N: Floats, positive_N: NDArray[np.generic]) -> tuple[Ints, Ints, Floats]:
    order = np.argsort(-scores_N, kind="stable")
    sorted_N = scores_N[order]
    last = np.flatnonzero(np.r_[sorted_N[1:] != sorted_N[:-1], True])[: len(scores_N)]
    hits_T = np.cumsum(np.asarray(positive_N).astype(np.int64)[order])[last]
    return hits_T, last + 1 - hits_T, sorted_N[last]


def _rate(count_T: Ints) -> Floats:
    return count_T / count_T[-1] if count_T[-1] else np.full(len(count_T), np.nan)


def reliability(answers: Answers, bins: int = 15) -> Reliability:
    """Confidence against accuracy of the answers, in the bins of the metric `ece`; empty bins are left out."""
    confidence_N, right_N = confidence(answers, "reliability")
    bin_N = bin_of(confidence_N, bins)
    rows_B = np.bincount(bin_N, minlength=bins)
    full = np.flatnonzero(rows_B)
    sure_B, right_B = (np.bincount(bin_N, value, bins)[full] / rows_B[full] for value in (confidence_N, right_N))
    return Reliability(full / bins, (full + 1) / bins, sure_B, right_B, rows_B[full])


def confusion(answers: Answers) -> tuple[tuple[str, ...], Ints]:
    """Labels, and how often each true class (row) was answered by each (column); unknown labels form a last class."""
    labels, (truth_N, answer_N) = _labels(answers), classes(answers)
    num = len(labels)
    cell_N = np.where(truth_N < 0, num - 1, truth_N) * num + answer_N
    return labels, np.bincount(cell_N, minlength=num * num).reshape(num, num)


def _labels(answers: Answers) -> tuple[str, ...]:
    labels = answers.labels or tuple(str(number) for number in range(num_classes(answers)))
    return (*labels, UNKNOWN) if answers.kind == "classes" and (answers.truth.astype(int) < 0).any() else labels


def per_class(answers: Answers, level: float = 0.95) -> list[ClassRow]:
    """Precision, recall and F1 of each class or label with Wilson intervals, in the order of the labels."""
    found = counts(answers, np.ones((1, len(answers.truth))))
    precision_K, recall_K, f1_K = found.precision()[0], found.recall()[0], found.f1()[0]
    rows = []
    for number, label in enumerate(_labels(answers)):
        hit, truth, answered = (int(count[0, number]) for count in (found.hit, found.truth, found.answer))
        precision = (float(precision_K[number]), wilson(hit, answered, level))
        recall = (float(recall_K[number]), wilson(hit, truth, level))
        rows.append(ClassRow(label, *precision, *recall, float(f1_K[number]), truth, answered))
    return rows


def wilson(hits: int, num: int, level: float = 0.95) -> tuple[float, float] | None:
    """Wilson's score interval of a share (1927); None without rows."""
    from scipy.stats import norm

    if not num:
        return None
    z, share = float(norm.ppf((1 + level) / 2)), hits / num
    middle = (share + z**2 / (2 * num)) / (1 + z**2 / num)
    half = z / (1 + z**2 / num) * (share * (1 - share) / num + z**2 / (4 * num**2)) ** 0.5
    # The ends are exactly 0 and 1 at no and all hits; rounding would leave 1e-17.
    return (0.0 if hits == 0 else middle - half, 1.0 if hits == num else middle + half)


def most_confident_errors(answers: Answers, num: int = 20) -> Ints:
    """Row numbers of the wrong answers, surest first: often wrong labels in the data. Equal ones in the order of rows.

    classes: by the probability of the answer. multilabel: by the wrong label whose score lies farthest from 0.5.
    numbers: by the distance from the truth.
    """
    if answers.kind == "numbers":
        sure_N = np.abs(answers.predicted.astype(np.float64) - answers.truth.astype(np.float64))
    elif answers.kind == "multilabel":
        wrong_NC = answers.truth != answers.predicted
        sure_N = (wrong_NC * (0.0 if answers.scores is None else np.abs(answers.scores - 0.5)) + wrong_NC).max(1)
    else:
        sure_N, right_N = confidence(answers, "most_confident_errors")
        sure_N = np.where(right_N == 1, 0.0, sure_N)
    order: Ints = np.argsort(-sure_N, kind="stable")
    return order[sure_N[order] > 0][:num]

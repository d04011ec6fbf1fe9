"""Is one model better than another on the same rows? Paired tests, and correction for many of them.

Every difference is a minus b, in the unit of the metric: for a metric where lower is better, a negative one favours a.
p-values are two-sided. Pairing matters: two models err on the same hard rows, so intervals of each model alone say
little about the difference.

Shape letters: R resamples, N rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tunesmith.errors import TunesmithError
from tunesmith.evaluation.intervals import CELLS, check, draws, number, spread
from tunesmith.metrics import Answers, Floats, Metric

Groups = Sequence[object] | NDArray[np.generic] | None


@dataclass(frozen=True)
class Difference:
    """a minus b with its interval and two-sided p-value; the interval is None where the test gives none."""

    value: float
    low: float | None
    high: float | None
    p: float
    undefined: int = 0


@dataclass(frozen=True)
class Discordance:
    """Rows that exactly one of two models gets right, and McNemar's p-values for "both are equally often right"."""

    only_a: int
    only_b: int
    p: float
    mid_p: float


def paired_bootstrap(  # noqa: PLR0913
    metric: Metric,
    a: Answers,
    b: Answers,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    groups: Groups = None,
) -> Difference:
    """Both models measured on the same draws of rows (Efron and Tibshirani 1993, chapter 16).

    p is twice the smaller share of draws in which the difference is <= 0 or >= 0, with one added so that it is never 0.
    """
    return _summed(*_differences(metric, a, b, resamples, seed, groups), level)


def paired_mean(
    metric: Metric, pairs: Sequence[tuple[Answers, Answers]], *, resamples: int = 1000, seed: int = 0,
    level: float = 0.95,
) -> Difference:  # fmt: skip
    """The mean over several sets of rows of what both models differ by on each, rows drawn within each set. Sets on
    which the metric is undefined for either are left out; NaN where nothing is left."""
    each = [_differences(metric, a, b, resamples, seed + k, a.groups) for k, (a, b) in enumerate(pairs)]
    known = [one for one in each if not np.isnan(one[0])] or [(float("nan"), np.full(1, np.nan))]
    return _summed(float(np.mean([value for value, _ in known])), np.mean([drawn for _, drawn in known], 0), level)


def _differences(
    metric: Metric, a: Answers, b: Answers, resamples: int, seed: int, groups: Groups
) -> tuple[float, Floats]:
    """(a minus b, the same on each draw of rows)."""
    _check_pair(metric, a, b)
    plain = np.ones((1, a.rows))
    value = float((metric.measure(a, plain) - metric.measure(b, plain))[0])
    parts = [metric.measure(a, w) - metric.measure(b, w) for w in draws(a.rows, resamples, seed, groups)]
    return value, np.concatenate(parts)


def _summed(value: float, drawn_R: Floats, level: float) -> Difference:
    interval = spread(value, drawn_R, level)
    defined = drawn_R[~np.isnan(drawn_R)]
    tail = min((defined <= 0).sum(), (defined >= 0).sum())
    p = min(1.0, 2 * (int(tail) + 1) / (len(defined) + 1))
    return Difference(value, interval.low, interval.high, p, interval.undefined)


def paired_permutation(
    metric: Metric, a: Answers, b: Answers, *, resamples: int = 1000, seed: int = 0, groups: Groups = None
) -> Difference:
    """The answers of the two models swapped at random, row by row or group by group (Fisher; Noreen 1989).

    p is the share of swaps whose difference is at least as large, the unswapped one counted in; all swaps are tried
    where there are no more than `resamples` of them, and p is then exact.
    """
    _check_pair(metric, a, b)
    both = _stacked(a, b)
    group_N = number(groups, a.rows) if groups is not None else np.arange(a.rows)
    value = _of_swaps(metric, both, np.zeros((1, len(group_N))))[0]
    swap_RG, exact = _swaps(int(group_N.max()) + 1, resamples, seed)
    step = max(1, CELLS // (2 * len(group_N)))
    parts = [_of_swaps(metric, both, swap_RG[at : at + step][:, group_N]) for at in range(0, len(swap_RG), step)]
    drawn_R = np.concatenate(parts)
    defined = drawn_R[~np.isnan(drawn_R)]
    # A swap that should tie with the observed value may differ in its last bits.
    reached = int((np.abs(defined) >= abs(value) - 1e-12).sum())
    p = reached / len(defined) if exact and len(defined) else (reached + 1) / (len(defined) + 1)
    return Difference(float(value), None, None, float(p), len(drawn_R) - len(defined))


def _swaps(num: int, resamples: int, seed: int) -> tuple[Floats, bool]:
    if num < 60 and 2**num <= resamples:
        return ((np.arange(2**num)[:, None] >> np.arange(num)) & 1).astype(np.float64), True
    return np.random.default_rng(seed).integers(0, 2, (resamples, num), dtype=np.int8).astype(np.float64), False


def _of_swaps(metric: Metric, both: Answers, swap_RN: Floats) -> Floats:
    # The rows of a and of b one below the other: a swap is a choice of rows, that is, a weighting.
    first = metric.measure(both, np.hstack([1 - swap_RN, swap_RN]))
    return first - metric.measure(both, np.hstack([swap_RN, 1 - swap_RN]))


def _stacked(a: Answers, b: Answers) -> Answers:
    scores = None if a.scores is None or b.scores is None else np.concatenate([a.scores, b.scores])
    truth, predicted = np.concatenate([a.truth, b.truth]), np.concatenate([a.predicted, b.predicted])
    asked = None if a.asked is None else np.concatenate([a.asked, a.asked])
    words = None if a.words is None or b.words is None else a.words.above(b.words)
    queries = None if a.queries is None else np.concatenate([a.queries, a.queries + a.queries.max() + 1])
    if a.kind == "vectors":  # a ranking of a and one of b are two, whatever they were asked
        truth = truth.copy()
        truth[len(a.truth) :, 1] += a.truth[:, 1].max() + 1
    return replace(a, truth=truth, predicted=predicted, scores=scores, asked=asked, queries=queries, words=words)


def _check_pair(metric: Metric, a: Answers, b: Answers) -> None:
    check([metric], a)
    check([metric], b)
    if a.kind != b.kind or a.labels != b.labels or not np.array_equal(a.truth, b.truth):
        raise TunesmithError(
            f"the two models were not measured on the same rows ({a.rows} and {b.rows} rows, "
            f"{len(a.labels)} and {len(b.labels)} labels); evaluate both on one file, in one order"
        )


def mcnemar(a: Answers, b: Answers) -> Discordance:
    """Exact and mid-p McNemar test on which rows are right; of label sets, all labels (Fagerland et al. 2013).

    Among n rows that only one model gets right, the smaller count is binomial(n, 1/2) if both are equally good.
    The exact p is conservative; the mid-p, which counts half of the observed point, is the one to prefer.
    """
    right_or_wrong = a.kind in ("classes", "multilabel")
    if not right_or_wrong or a.kind != b.kind or not np.array_equal(a.truth, b.truth):
        raise TunesmithError(
            "mcnemar: needs the classes or label sets of two models on the same rows; "
            "for numbers and text take paired_bootstrap or paired_permutation"
        )
    return discordance(_right(a), _right(b))


def discordance(right_a: NDArray[np.bool_], right_b: NDArray[np.bool_]) -> Discordance:
    """The same of which rows (N,) each is right on."""
    from scipy.stats import binom

    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    least, num = min(only_a, only_b), only_a + only_b
    p = 2 * float(binom.cdf(least, num, 0.5))
    return Discordance(only_a, only_b, min(1.0, p), min(1.0, p - float(binom.pmf(least, num, 0.5))))


def _right(answers: Answers) -> NDArray[np.bool_]:
    right: NDArray[np.bool_] = (answers.truth == answers.predicted).reshape(len(answers.truth), -1).all(1)
    return right


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted so that the chance of any false alarm stays at the level (Holm 1979); order is kept."""
    p_P = np.asarray(p_values, dtype=np.float64)
    assert ((p_P >= 0) & (p_P <= 1)).all(), "a p-value lies between 0 and 1"
    order = np.argsort(p_P, kind="stable")
    adjusted_P = np.empty(len(p_P))
    adjusted_P[order] = np.minimum(1.0, np.maximum.accumulate(p_P[order] * np.arange(len(p_P), 0, -1)))
    return [float(p) for p in adjusted_P]


def corrected_t(
    scores_a: Sequence[float], scores_b: Sequence[float], test_share: float, *, level: float = 0.95
) -> Difference:
    """Corrected resampled t-test over the folds of (repeated) cross-validation (Nadeau and Bengio 2003).

    The training sets of folds overlap, so their differences are not independent: the variance of the mean is
    (1/J + test/train) s^2 instead of s^2 / J. `test_share` is the share of rows held out in each of the J folds.
    """
    from scipy.stats import t as student

    difference_J = np.asarray(scores_a, dtype=np.float64) - np.asarray(scores_b, dtype=np.float64)
    num = len(difference_J)
    assert num >= 2, "one fold has no spread"
    assert 0 < test_share < 1, "the share of rows held out"
    value = float(difference_J.mean())
    # Equal differences have no spread; a sum of squares would leave rounding noise.
    same = bool((difference_J == difference_J[0]).all())
    error = 0.0 if same else float(np.sqrt((1 / num + test_share / (1 - test_share)) * difference_J.var(ddof=1)))
    half = float(student.ppf((1 + level) / 2, num - 1)) * error
    p = (1.0 if value == 0 else 0.0) if same else 2 * float(student.sf(abs(value) / error, num - 1))
    return Difference(value, value - half, value + half, p)

"""Paired tests equal their formulas written out by hand, and keep their promised error rate."""

import itertools

import numpy as np
import pytest
from scipy import stats

from tunesmith.errors import TunesmithError
from tunesmith.evaluation.significance import (
    Difference,
    corrected_t,
    holm,
    mcnemar,
    paired_bootstrap,
    paired_mean,
    paired_permutation,
)
from tunesmith.metrics import METRICS, Answers

ACCURACY, MACRO_F1 = METRICS.find("accuracy")(), METRICS.find("macro_f1")()


def make_pair(seed: int, rows: int, right_a: float, right_b: float) -> tuple[Answers, Answers]:
    """Two models that are right with fixed chances, on the same rows."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, rows)
    answers = [np.where(rng.random(rows) < right, truth, (truth + 1) % 3) for right in (right_a, right_b)]
    return Answers("classes", truth, answers[0]), Answers("classes", truth, answers[1])


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (5, 5), (3, 12), (20, 6), (0, 8), (41, 60)])
def test_mcnemar_equals_the_binomial_test(only_a: int, only_b: int) -> None:
    """Exact p: scipy's binomtest. Mid-p: less half of the observed point on each side (Fagerland 2013)."""
    truth = np.zeros(only_a + only_b + 10, dtype=int)
    wrong_a, wrong_b = truth.copy(), truth.copy()
    wrong_b[:only_a] = 1
    wrong_a[only_a : only_a + only_b] = 1
    found = mcnemar(Answers("classes", truth, wrong_a), Answers("classes", truth, wrong_b))
    num = only_a + only_b
    exact = stats.binomtest(only_a, num).pvalue if num else 1.0
    points = [stats.binom.pmf(k, num, 0.5) for k in range(num + 1)]
    least = min(only_a, only_b)
    mid = 2 * (sum(points[:least]) + points[least] / 2)
    assert (found.only_a, found.only_b) == (only_a, only_b)
    assert found.p == pytest.approx(exact, abs=1e-12)
    assert found.mid_p == pytest.approx(min(1.0, mid), abs=1e-12)


def test_mcnemar_known_value() -> None:
    """Fagerland et al. 2013, table 1: 1 and 7 discordant pairs give exact p 0.070 and mid-p 0.039."""
    truth = np.zeros(21, dtype=int)
    a, b = truth.copy(), truth.copy()
    a[:1], b[1:8] = 1, 1
    found = mcnemar(Answers("classes", truth, a), Answers("classes", truth, b))
    assert found.p == pytest.approx(0.0703, abs=5e-5) and found.mid_p == pytest.approx(0.0391, abs=5e-5)


def test_mcnemar_of_label_sets() -> None:
    """A row is right when all its labels are."""
    truth = np.array([[1, 0], [0, 1], [1, 1]])
    half = np.array([[1, 0], [1, 1], [1, 1]])
    assert mcnemar(Answers("multilabel", truth, truth), Answers("multilabel", truth, half)).only_a == 1


def test_holm() -> None:
    """The example worked out by hand: 0.01 x 4, 0.02 x 3, 0.03 x 2 raised to 0.06, 0.5."""
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == [] and holm([0.2]) == [0.2]


def test_holm_against_its_definition() -> None:
    """Rejects at every level what the step-down procedure rejects."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        p = np.round(rng.random(6) ** 3, 2)
        adjusted = np.array(holm(list(p)))
        for level in (0.01, 0.05, 0.2):
            rejected = np.zeros(6, dtype=bool)
            for step, which in enumerate(np.argsort(p, kind="stable")):
                if p[which] * (6 - step) > level:
                    break
                rejected[which] = True
            assert ((adjusted <= level) == rejected).all()


def test_corrected_t() -> None:
    """The formula of Nadeau and Bengio; without correction it is scipy's paired t-test."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.8, 0.02, 10), rng.normal(0.78, 0.02, 10)
    found = corrected_t(list(a), list(b), 0.1)
    error = np.sqrt((1 / 10 + 0.1 / 0.9) * np.var(a - b, ddof=1))
    t = np.mean(a - b) / error
    assert found.value == pytest.approx(np.mean(a - b))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(t), 9), abs=1e-12)
    assert found.low == pytest.approx(found.value - stats.t.ppf(0.975, 9) * error)
    assert corrected_t(list(a), list(b), 1e-12).p == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=1e-9)
    assert found.p > stats.ttest_rel(a, b).pvalue


def test_corrected_t_without_spread() -> None:
    """Equal folds: no difference at all, or one without doubt."""
    assert corrected_t([0.5, 0.6], [0.5, 0.6], 0.2) == Difference(0.0, 0.0, 0.0, 1.0)
    assert corrected_t([0.75, 1.0], [0.5, 0.75], 0.2).p == 0.0


def test_permutation_of_few_rows_is_exact() -> None:
    """All 2^8 swaps, counted by hand."""
    a, b = make_pair(3, 8, 0.9, 0.4)
    observed = (a.truth == a.predicted).mean() - (b.truth == b.predicted).mean()
    right = np.stack([a.truth == a.predicted, b.truth == b.predicted])
    reached = 0
    for swap in itertools.product([0, 1], repeat=8):
        first = right[list(swap), np.arange(8)].mean()
        second = right[[1 - s for s in swap], np.arange(8)].mean()
        reached += abs(first - second) >= abs(observed) - 1e-12
    found = paired_permutation(ACCURACY, a, b)
    assert found.p == pytest.approx(reached / 256) and found.value == pytest.approx(observed)


def test_permutation_of_accuracy_nears_mcnemar() -> None:
    """Swapping rows at random is the same question as the exact McNemar test."""
    a, b = make_pair(0, 200, 0.8, 0.7)
    assert paired_permutation(ACCURACY, a, b, resamples=20_000).p == pytest.approx(mcnemar(a, b).p, abs=0.01)


def test_paired_bootstrap_of_accuracy() -> None:
    """Value, interval and p agree with the normal approximation of the mean difference."""
    a, b = make_pair(1, 2000, 0.8, 0.77)
    gap = (a.truth == a.predicted).astype(float) - (b.truth == b.predicted)
    error = gap.std() / np.sqrt(len(gap))
    found = paired_bootstrap(ACCURACY, a, b, resamples=4000)
    assert found.value == pytest.approx(gap.mean())
    assert found.low == pytest.approx(gap.mean() - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(gap.mean() + 1.96 * error, abs=0.1 * error)
    assert found.p == pytest.approx(2 * stats.norm.sf(gap.mean() / error), abs=0.02)


def test_the_mean_over_several_sets_is_that_of_their_differences() -> None:
    sets = [make_pair(2, 200, 0.8, 0.7), make_pair(3, 300, 0.7, 0.7)]
    alone = [paired_bootstrap(ACCURACY, *each, seed=7 + k) for k, each in enumerate(sets)]
    assert paired_mean(ACCURACY, sets[:1], seed=7) == alone[0]
    both = paired_mean(ACCURACY, sets, seed=7)
    assert both.value == pytest.approx((alone[0].value + alone[1].value) / 2)
    # independent rows: the variances of the two halves add up
    width = [one.high - one.low for one in alone]
    assert both.high - both.low == pytest.approx(np.hypot(*width) / 2, rel=0.1)


def test_sets_without_a_value_are_left_out_of_the_mean() -> None:
    metric, flat, truth = METRICS.make("spearman"), Answers("numbers", np.arange(4.0), np.ones(4)), np.arange(9.0)
    good = Answers("numbers", truth, truth**2), Answers("numbers", truth, -truth)
    assert paired_mean(metric, [(flat, flat), good]).value == pytest.approx(2)
    nothing = paired_mean(metric, [(flat, flat)])
    assert np.isnan(nothing.value) and nothing.p == 1


def test_the_same_answers_do_not_differ() -> None:
    """p is 1, and the interval is 0 wide."""
    a, _ = make_pair(0, 50, 0.8, 0.8)
    assert paired_bootstrap(MACRO_F1, a, a) == Difference(0.0, 0.0, 0.0, 1.0)
    assert paired_permutation(MACRO_F1, a, a).p == 1.0 and mcnemar(a, a).mid_p == 1.0


@pytest.mark.parametrize("test", [paired_bootstrap, paired_permutation])
def test_false_alarms(test: type) -> None:
    """Of 300 pairs of equally good models about 5 % differ at the 5 % level."""
    alarms = sum(test(MACRO_F1, *make_pair(seed, 80, 0.7, 0.7), resamples=300).p <= 0.05 for seed in range(300))
    assert 3 <= alarms <= 27


def test_groups_widen_the_doubt() -> None:
    """Copies of rows do not make a difference surer."""
    a, b = make_pair(5, 40, 0.85, 0.6)
    rows = np.repeat(np.arange(40), 5)
    for test in (paired_bootstrap, paired_permutation):
        once, copied = test(ACCURACY, a, b), test(ACCURACY, a.take(rows), b.take(rows), groups=list(rows))
        assert copied.p == once.p and test(ACCURACY, a.take(rows), b.take(rows)).p < once.p


def test_different_rows_are_refused() -> None:
    """Paired means the same rows."""
    a, b = make_pair(0, 10, 0.8, 0.8)
    with pytest.raises(TunesmithError, match="not measured on the same rows"):
        paired_bootstrap(ACCURACY, a, b.take(np.arange(9)))
    numbers = Answers("numbers", np.ones(2), np.ones(2))
    with pytest.raises(TunesmithError, match="mcnemar: needs the classes"):
        mcnemar(numbers, numbers)

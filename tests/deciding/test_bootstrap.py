"""BCa equals scipy's, its p-value belongs to its interval, and where it cannot correct it says so."""

import numpy as np
import pytest
from made import classes, numbers
from scipy import stats
from scipy.stats._resampling import BootstrapResult, ConfidenceInterval

from tunesmith.deciding.bootstrap import BLOCKS, acceleration, bootstrapped
from tunesmith.deciding.pairs import Pair
from tunesmith.metrics import METRICS, Answers


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("rows", [30, 200])
def test_the_interval_is_scipys(rows: int, level: float) -> None:
    """The same draws, read by both: scipy makes its own bias and acceleration of them."""
    pair = numbers(3, rows, shift=0.2)
    found = bootstrapped(pair, resamples=999)
    errors = [abs(each.predicted - each.truth) for each in (pair.a[0], pair.b[0])]

    def difference(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
        return b.mean(axis) - a.mean(axis)

    drawn = BootstrapResult(ConfidenceInterval(0, 0), found.drawn_R, 0.0)
    theirs = stats.bootstrap(errors, difference, paired=True, n_resamples=0, bootstrap_result=drawn, method="BCa",
                             confidence_level=level, vectorized=True)  # fmt: skip
    assert found.fallback is None and found.interval(level) == pytest.approx(tuple(theirs.confidence_interval))


@pytest.mark.parametrize("pair", [numbers(0, 60, shift=0.3), classes(1, 300, 0.7, 0.78, "macro_f1")])
def test_a_limit_of_the_interval_has_the_p_value_of_its_level(pair: Pair) -> None:
    found = bootstrapped(pair, resamples=4000)
    for level in (0.8, 0.95):
        low, high = found.interval(level) or (0.0, 0.0)
        assert found.below(low) == pytest.approx((1 - level) / 2, abs=2e-3)
        assert found.below(high) == pytest.approx((1 + level) / 2, abs=2e-3)
    assert found.below(-10.0) < 1e-3 and found.below(10.0) > 1 - 1e-3


def test_p_is_never_zero() -> None:
    """R draws cannot say less than 1 / R."""
    found = bootstrapped(classes(0, 200, 0.2, 0.95), resamples=200)
    assert 0 < found.below(0.0) < 0.02


def test_where_it_cannot_correct_it_says_why() -> None:
    truth = np.zeros(30)
    same = Answers("numbers", truth, truth + 1)
    found = bootstrapped(Pair(METRICS.make("mae"), (same,), (same,)), resamples=50)
    assert found.fallback == "no draw differs from another" and found.interval(0.95) == (0.0, 0.0)
    assert found.name == "paired bootstrap (percentile)"
    constant = bootstrapped(Pair(METRICS.make("spearman"), (same,), (same,)), resamples=50)
    assert constant.interval(0.95) is None and "not defined" in str(constant.fallback)
    one = classes(0, 12, 1.0, 1.0)
    wrong = one.b[0].predicted.copy()
    wrong[0] = (wrong[0] + 1) % 3
    rare = bootstrapped(Pair(one.metric, one.a, (Answers("classes", one.b[0].truth, wrong, labels=one.b[0].labels),)))
    assert rare.interval(0.95) is not None and rare.value < 0


def test_blocks_estimate_the_same_acceleration() -> None:
    """Leaving out blocks of many rows: the skewness of one row, with an error near 0.65 / BLOCKS."""
    pair = numbers(5, 6 * BLOCKS, shift=0.4)
    influence = abs(pair.b[0].predicted - pair.b[0].truth) - abs(pair.a[0].predicted - pair.a[0].truth)
    one_by_one = (influence.sum() - influence) / (len(influence) - 1)
    assert bootstrapped(pair, resamples=200).acceleration == pytest.approx(acceleration(one_by_one), abs=5e-3)
    assert acceleration(np.ones(9)) == 0.0


def test_rows_of_a_query_are_drawn_together() -> None:
    """Copies of rows in one group do not make a difference surer."""
    rng = np.random.default_rng(0)
    truth = np.column_stack([np.ones(40), np.arange(40)])
    sides = [Answers("vectors", truth, rng.integers(1, 9, 40).astype(float), np.zeros((40, 1))) for _ in range(2)]
    rows = np.repeat(np.arange(40), 3)
    once = Pair(METRICS.make("mrr_at_10"), (sides[0],), (sides[1],))
    assert once.units == 40 and once.take(rows).units == 40
    assert bootstrapped(once.take(rows), resamples=200).error == pytest.approx(bootstrapped(once, resamples=200).error)

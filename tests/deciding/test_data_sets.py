"""Many data sets: Wilcoxon as scipy's, its interval by enumeration, and beliefs that add up."""

import itertools

import numpy as np
import pytest
from scipy import stats

from tunesmith.deciding.data_sets import over_sets, sign_test, signed_rank, walsh
from tunesmith.errors import TunesmithError


def test_wilcoxon_is_scipys_and_the_centre_is_hodges_and_lehmanns() -> None:
    rng = np.random.default_rng(1)
    a = rng.uniform(0.6, 0.9, 12)
    b = a + rng.normal(0.02, 0.02, 12)
    found = over_sets(a, b, rope=0.01)
    assert found.p == pytest.approx(stats.wilcoxon(b - a).pvalue)
    gaps = b - a
    pairs = [(gaps[i] + gaps[j]) / 2 for i, j in itertools.combinations_with_replacement(range(12), 2)]
    assert found.value == pytest.approx(np.median(pairs)) and len(walsh(gaps)) == 78


def test_the_interval_holds_what_the_test_does_not_refute() -> None:
    """A centre is inside if Wilcoxon of the differences around it has p > 0.05."""
    rng = np.random.default_rng(2)
    gaps = rng.normal(0.01, 0.02, 9)
    low, high = over_sets(np.zeros(9), gaps, rope=0.01).limits or (0, 0)
    for centre, inside in ((low - 1e-6, False), (low + 1e-6, True), (high - 1e-6, True), (high + 1e-6, False)):
        assert bool(stats.wilcoxon(gaps - centre).pvalue > 0.05) is inside
    assert over_sets(np.zeros(5), gaps[:5], rope=0.01).limits is None, "five sets: 2 / 32 is the least p"
    assert over_sets(np.zeros(6), gaps[:6], rope=0.01).limits is not None


def test_beliefs() -> None:
    """They add up to one, turn with the sides, and go to the region that the differences lie in."""
    rng = np.random.default_rng(0)
    gaps = rng.normal(0.004, 0.02, 15)
    for test in (signed_rank, sign_test):
        found, turned = test(gaps, 0.01), test(-gaps, 0.01)
        assert found.a + found.alike + found.b == pytest.approx(1)
        assert (turned.a, turned.b) == pytest.approx((found.b, found.a), abs=0.02)
        assert test(np.full(10, 0.05), 0.01).b > 0.99 and test(np.full(10, 0.001), 0.01).alike > 0.99
    assert signed_rank(np.zeros(4), 0.0).alike == 1.0


def test_the_sign_test_is_the_beta_tail() -> None:
    """Without a region and a prior of almost nothing in it: P(share of wins > 1/2), 8 of 10."""
    gaps = np.array([0.1] * 8 + [-0.1] * 2)
    draws = np.random.default_rng(5).dirichlet([2, 0.5, 8], 200_000)
    assert sign_test(gaps, 0.0).b == pytest.approx((draws.argmax(1) == 2).mean(), abs=0.01)
    assert sign_test(gaps, 0.0).b == pytest.approx(stats.beta.sf(0.5, 8, 2), abs=0.02)


def test_ties_and_too_few() -> None:
    assert over_sets(np.ones(4), np.ones(4), rope=0.01).p == 1.0
    assert over_sets(np.zeros(3), np.array([0.0, 1.0, -1.0]), rope=0.0).wins == (1, 1, 1)
    with pytest.raises(TunesmithError, match="none to generalise from"):
        over_sets(np.ones(1), np.ones(1), rope=0.1)

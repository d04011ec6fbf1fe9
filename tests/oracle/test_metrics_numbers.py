"""Metrics of numbers equal scipy's and scikit-learn's, with ties and sample weights."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from tunesmith.metrics import METRICS, Answers, Floats

CLOSE = {"rtol": 0, "atol": 1e-12}
CASES = pytest.mark.parametrize("cases", [100, pytest.param(1000, marks=pytest.mark.slow)])


def make_case(seed: int) -> tuple[Answers, Floats]:
    """Random numbers; odd cases have many ties. Weights: all 1, and random."""
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(2, 30))
    truth, answer = rng.normal(size=(2, rows))
    if seed % 2:
        truth, answer = np.round(truth), np.round(answer + truth)
    return Answers("numbers", truth, answer), np.stack([np.ones(rows), rng.random(rows) + 0.1])


def ours(name: str, answers: Answers, weights: Floats) -> Floats:
    """The metric of that name."""
    return METRICS.find(name)().measure(answers, weights)


@CASES
@pytest.mark.filterwarnings("ignore")
def test_correlations(cases: int) -> None:
    """NaN exactly where scipy answers NaN."""
    for seed in range(cases):
        answers, weights = make_case(seed)
        for name, theirs in (("spearman", stats.spearmanr), ("pearson", stats.pearsonr)):
            value = theirs(answers.truth, answers.predicted).statistic
            np.testing.assert_allclose(ours(name, answers, weights)[0], value, **CLOSE, err_msg=f"{name} {seed}")


@CASES
def test_weighted_pearson(cases: int) -> None:
    """Equal to the correlation from numpy's weighted covariance."""
    for seed in range(0, cases, 2):
        answers, weights = make_case(seed)
        cov = np.cov(answers.truth, answers.predicted, aweights=weights[1])
        expected = cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1])
        np.testing.assert_allclose(ours("pearson", answers, weights)[1], expected, **CLOSE)


@CASES
def test_errors(cases: int) -> None:
    """mae, rmse and r2."""
    for seed in range(cases):
        answers, weights = make_case(seed)
        pair, weight = (answers.truth, answers.predicted), weights[seed % 2]
        for name, theirs in (
            ("mae", sk.mean_absolute_error),
            ("rmse", sk.root_mean_squared_error),
            ("r2", sk.r2_score),
        ):
            value = theirs(*pair, sample_weight=weight)
            np.testing.assert_allclose(
                ours(name, answers, weights)[seed % 2], value, rtol=1e-12, atol=1e-12, err_msg=f"{name} {seed}"
            )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("answer", [[2.0, 2.0, 2.0], [1.0, 2.0, 3.0]])
def test_r2_of_a_constant_truth(answer: list[float]) -> None:
    """1 where all is right, else 0; NaN for a single row."""
    answers = Answers("numbers", np.full(3, 2.0), np.array(answer))
    assert ours("r2", answers, np.ones((1, 3)))[0] == sk.r2_score(answers.truth, answers.predicted)
    assert np.isnan(ours("r2", answers.take(np.array([0])), np.ones((1, 1)))[0])

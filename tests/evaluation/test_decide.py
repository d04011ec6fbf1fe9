"""Decision rules are the best there are, by brute force, and do not chase noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.errors import TunesmithError
from tunesmith.evaluation.decide import best_threshold, best_thresholds, cost_decision
from tunesmith.metrics import METRICS, Answers

F1 = METRICS.find("f1")()
RULES = ["f1", "accuracy", "balanced_accuracy", "mcc", "macro_f1", "precision", "recall", "specificity"]


def value(name: str, scores: np.ndarray, truth: np.ndarray, threshold: float) -> float:
    """The metric at a threshold, measured the plain way."""
    answers = Answers("classes", truth, (scores >= threshold).astype(int), labels=("no", "yes"))
    return float(METRICS.find(name)().measure(answers, np.ones((1, len(truth))))[0])


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_threshold_is_better(name: str, data: st.DataObject) -> None:
    """Every threshold between, on and outside the scores, with ties."""
    rows = data.draw(st.integers(2, 12))
    scores = np.array(data.draw(st.lists(st.integers(0, 8), min_size=rows, max_size=rows))) / 8
    truth = np.array(data.draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows)))
    found = best_threshold(scores, truth, METRICS.find(name)())
    assert found.value == pytest.approx(value(name, scores, truth, found.threshold), abs=1e-12)
    if 0 < truth.sum() < rows:
        tried = np.r_[-1, scores, scores + 0.01, 2]
        assert found.value == pytest.approx(max(value(name, scores, truth, t) for t in tried), abs=1e-12)
    else:
        assert found.threshold == 0.5


def test_neighbouring_floats_are_told_apart() -> None:
    """There is no float between them; the upper one is the threshold."""
    low = 0.3
    scores = np.array([low, np.nextafter(low, 1)])
    found = best_threshold(scores, np.array([0, 1]), F1)
    assert found.threshold == scores[1] and found.value == 1.0


def test_of_equally_good_ones_the_nearest_to_a_half() -> None:
    """All between 0.1 and 0.9 separate the rows."""
    assert best_threshold(np.array([0.1, 0.9]), np.array([0, 1]), F1).threshold == pytest.approx(0.5)


def test_a_metric_of_scores_cannot_choose() -> None:
    """A threshold does not change it."""
    with pytest.raises(TunesmithError, match="no threshold can be chosen by roc_auc: roc_auc: needs a score"):
        best_threshold(np.array([0.1, 0.9]), np.array([0, 1]), METRICS.find("roc_auc")())


def test_many_rows_are_quick() -> None:
    """A million scores: one sort and not a million evaluations."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 300_000)
    scores = rng.normal(size=300_000) + truth
    assert best_threshold(scores, truth, METRICS.find("accuracy")()).threshold == pytest.approx(0.5, abs=0.05)


def test_a_rare_label_takes_the_common_threshold() -> None:
    """Two rows of luck do not set a threshold; labels with many rows go their own way, drawn toward the common one."""
    rng = np.random.default_rng(0)
    truth = np.zeros((2000, 3), dtype=int)
    truth[:, 0] = rng.random(2000) < 0.5
    truth[:, 1] = rng.random(2000) < 0.1
    truth[:2, 2] = 1
    scores = 1 / (1 + np.exp(-(2 * truth - 1 + rng.normal(size=truth.shape) + [0.0, -1.5, 0.0])))
    found = best_thresholds(scores, truth, min_positives=5, pull=20)
    common = best_threshold(scores.ravel(), truth.ravel(), F1).threshold
    own = best_threshold(scores[:, 1], truth[:, 1], F1).threshold
    positives = truth[:, 1].sum()
    assert found[2] == common
    assert found[1] == pytest.approx((positives * own + 20 * common) / (positives + 20))
    raw = best_thresholds(scores, truth, min_positives=0, pull=0)
    assert raw[1] == own


def test_labels_nobody_has() -> None:
    """No label at all, or none for one column."""
    scores = np.full((4, 2), 0.4)
    assert (best_thresholds(scores, np.zeros((4, 2), dtype=int)) == 0.5).all()


@pytest.mark.slow
def test_drawn_thresholds_generalise_better_than_raw_ones() -> None:
    """Macro F1 on fresh rows, mean of 40 draws of 300 validation rows, labels of 0.5 to 30 %, calibrated scores."""
    shares = np.array([0.005, 0.01, 0.02, 0.05, 0.1, 0.3])
    gains = []
    for seed in range(40):
        rng = np.random.default_rng(seed)

        def draw(rows: int, rng: np.random.Generator = rng) -> tuple[np.ndarray, np.ndarray]:
            truth = (rng.random((rows, 6)) < shares).astype(int)
            logit = 2.5 * (2.5 * truth + rng.normal(size=truth.shape)) - 2.5**2 / 2 + np.log(shares / (1 - shares))
            return 1 / (1 + np.exp(-logit)), truth

        chosen, fresh = draw(300), draw(20_000)
        macro = METRICS.find("macro_f1")()
        drawn, raw = (
            macro.measure(
                Answers("multilabel", fresh[1], (fresh[0] >= best_thresholds(*chosen, **rule)).astype(int)),
                np.ones((1, 20_000)),
            )[0]
            for rule in ({}, {"min_positives": 0, "pull": 0})
        )
        gains.append(drawn - raw)
    assert np.mean(gains) > 0


@given(seed=st.integers(0, 1000), decisions=st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_least_expected_cost(seed: int, decisions: int) -> None:
    """By a loop over rows and decisions."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(3), 10)
    costs = rng.integers(0, 4, (3, decisions)).astype(float)
    for row, chosen in zip(probabilities, cost_decision(probabilities, costs), strict=True):
        expected = [float(row @ costs[:, d]) for d in range(decisions)]
        assert expected[chosen] == pytest.approx(min(expected))


def test_costs() -> None:
    """0 and 1: the likeliest class. A cheap way out is taken where no class is sure. A wrong shape is refused."""
    probabilities = np.array([[0.6, 0.4], [0.95, 0.05]])
    assert cost_decision(probabilities, 1 - np.eye(2)).tolist() == [0, 0]
    assert cost_decision(probabilities, np.array([[0, 1, 0.2], [1, 0, 0.2]])).tolist() == [2, 0]
    with pytest.raises(TunesmithError, match="costs: need 2 rows of finite numbers"):
        cost_decision(probabilities, np.ones((3, 3)))

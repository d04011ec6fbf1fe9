"""Curves and tables equal scikit-learn's where it has them."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from tunesmith.evaluation.curves import (
    confusion,
    most_confident_errors,
    per_class,
    precision_recall,
    reliability,
    roc,
    wilson,
)
from tunesmith.metrics import METRICS, Answers


def make_scores(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties and a truth of two classes."""
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(2, 40))
    truth = rng.integers(0, 2, rows)
    return rng.integers(0, 6, rows) / 5 if seed % 2 else rng.random(rows), truth


@pytest.mark.filterwarnings("ignore")
def test_roc_and_precision_recall() -> None:
    """100 cases, point by point; a rate without rows is NaN in both."""
    for seed in range(100):
        scores, truth = make_scores(seed)
        ours, theirs = roc(scores, truth), sk.roc_curve(truth, scores)
        for got, expected in zip((ours.fpr, ours.tpr, ours.thresholds), theirs, strict=True):
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)
        curve, theirs = precision_recall(scores, truth), sk.precision_recall_curve(truth, scores)
        for got, expected in zip((curve.precision, curve.recall, curve.thresholds), theirs, strict=True):
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


def test_confusion() -> None:
    """Truth down, answers across; unknown labels last."""
    truth, answer = np.array([0, 0, 1, -1, 2]), np.array([0, 1, 1, 2, 2])
    labels, cells = confusion(Answers("classes", truth, answer, labels=("a", "b", "c")))
    assert labels == ("a", "b", "c", "(unknown label)")
    assert (cells == sk.confusion_matrix(np.where(truth < 0, 3, truth), answer, labels=range(4))).all()
    labels, cells = confusion(Answers("classes", truth[:3], answer[:3]))
    assert labels == ("0", "1") and (cells == [[1, 1], [0, 1]]).all()


def test_reliability_adds_up_to_ece() -> None:
    """The same bins as the metric, and empty ones left out."""
    rng = np.random.default_rng(0)
    scores = rng.dirichlet([1, 1, 1], 200)
    answers = Answers("classes", rng.integers(0, 3, 200), scores.argmax(1), scores)
    found = reliability(answers, bins=10)
    ece = (found.rows * np.abs(found.accuracy - found.confidence)).sum() / 200
    assert ece == pytest.approx(METRICS.find("ece")(bins=10).measure(answers, np.ones((1, 200)))[0])
    assert found.rows.sum() == 200 and (found.rows > 0).all() and found.low[0] >= 0.3
    assert ((found.confidence > found.low) & (found.confidence <= found.high)).all()


def test_per_class() -> None:
    """Equal to scikit-learn's report, in the order of labels; a class without rows has no interval."""
    truth, answer = np.array([0, 0, 0, 1, 1, -1]), np.array([0, 0, 1, 1, 0, 1])
    rows = per_class(Answers("classes", truth, answer, labels=("a", "b", "c")))
    shifted = np.where(truth < 0, 3, truth)
    theirs = sk.precision_recall_fscore_support(shifted, answer, labels=range(4), zero_division=0)
    for number, row in enumerate(rows):
        assert (row.precision, row.recall, row.f1, row.support) == pytest.approx([each[number] for each in theirs])
    assert [row.label for row in rows] == ["a", "b", "c", "(unknown label)"]
    assert rows[2].precision_interval is None and rows[2].recall_interval is None and rows[3].recall_interval
    assert rows[0].recall_interval == pytest.approx(wilson(2, 3))


def test_per_class_of_label_sets() -> None:
    """A row of the table is a label."""
    truth, answer = np.array([[1, 0], [1, 1]]), np.array([[1, 1], [0, 1]])
    rows = per_class(Answers("multilabel", truth, answer, labels=("a", "b")))
    assert [(row.precision, row.recall, row.support, row.answered) for row in rows] == [(1, 0.5, 2, 1), (0.5, 1, 1, 2)]


@pytest.mark.parametrize(("hits", "num"), [(0, 5), (5, 5), (3, 10), (77, 80)])
def test_wilson(hits: int, num: int) -> None:
    """Equal to scipy's."""
    theirs = stats.binomtest(hits, num).proportion_ci(method="wilson")
    assert wilson(hits, num) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_most_confident_errors() -> None:
    """Surest first, right answers never."""
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.99, 0.01]])
    classes = Answers("classes", np.array([1, 0, -1, 0]), scores.argmax(1), scores)
    assert most_confident_errors(classes).tolist() == [0, 1, 2]
    assert most_confident_errors(classes, 1).tolist() == [0]
    numbers = Answers("numbers", np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.0, 3.5]))
    assert most_confident_errors(numbers).tolist() == [1, 2]
    sets = Answers(
        "multilabel", np.array([[1, 0], [0, 0]]), np.array([[0, 0], [0, 1]]), np.array([[0.4, 0], [0, 0.99]])
    )
    assert most_confident_errors(sets).tolist() == [1, 0]

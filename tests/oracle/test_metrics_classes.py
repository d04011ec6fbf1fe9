"""Metrics of classes equal scikit-learn's: ties, absent classes, zero divisions, unknown labels and sample weights."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn import metrics as sk

from tunesmith.metrics import METRICS, Answers

CLOSE = {"rtol": 0, "atol": 1e-12}
CASES = pytest.mark.parametrize("cases", [60, pytest.param(1000, marks=pytest.mark.slow)])


def make_case(seed: int, num_classes: int | None = None) -> tuple[Answers, np.ndarray]:
    """Answers and weights (2, N): some classes absent, scores with ties, every third case with unknown labels."""
    rng = np.random.default_rng(seed)
    num_classes = num_classes or int(rng.integers(2, 7))
    rows = int(rng.integers(1, 25))
    truth = rng.integers(-1 if seed % 3 == 0 and num_classes > 2 else 0, rng.integers(1, num_classes + 1), rows)
    scores = rng.integers(0, 4, (rows, num_classes)) + (rng.random((rows, num_classes)) if seed % 2 else 0.1)
    scores = scores / scores.sum(1, keepdims=True)
    return Answers("classes", truth, scores.argmax(1), scores), np.stack([np.ones(rows), rng.random(rows) + 0.1])


def ours(name: str, answers: Answers, weights: np.ndarray, **settings: float) -> np.ndarray:
    """The metric of that name."""
    return METRICS.find(name)(**settings).measure(answers, weights)


def theirs_of_answers(truth: np.ndarray, answer: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    """What scikit-learn says of answers alone."""
    found = {"accuracy": sk.accuracy_score(truth, answer, sample_weight=weight)}
    found["mcc"] = sk.matthews_corrcoef(truth, answer, sample_weight=weight)
    for average in ("macro", "weighted", "micro"):
        precision, recall, f1, _ = sk.precision_recall_fscore_support(
            truth, answer, average=average, sample_weight=weight, zero_division=0
        )
        found |= {f"{average}_f1": f1}
        if average == "macro":
            found |= {"macro_precision": precision, "macro_recall": recall}
    return found


@CASES
@pytest.mark.filterwarnings("ignore")
def test_answers_of_many_classes(cases: int) -> None:
    """All weights 1, and sample weights."""
    with config_context(skip_parameter_validation=True):
        for seed in range(cases):
            answers, weights = make_case(seed)
            row = seed % 2
            for name, value in theirs_of_answers(answers.truth, answers.predicted, weights[row]).items():
                if name == "mcc" and row and min(len(set(answers.truth)), len(set(answers.predicted))) < 2:
                    continue  # scikit-learn divides rounding noise by rounding noise here
                got = ours(name, answers, weights)[row]
                np.testing.assert_allclose(got, value, **CLOSE, err_msg=f"{name} {seed}")


@CASES
@pytest.mark.filterwarnings("ignore")
def test_balanced_accuracy(cases: int) -> None:
    """scikit-learn leaves out classes that are never true, and so do we."""
    for seed in range(cases):
        answers, weights = make_case(seed)
        value = sk.balanced_accuracy_score(answers.truth, answers.predicted, sample_weight=weights[1])
        np.testing.assert_allclose(ours("balanced_accuracy", answers, weights)[1], value, **CLOSE)


@CASES
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("positive", [0, 1])
def test_answers_of_two_classes(positive: int, cases: int) -> None:
    """precision, recall, f1 and specificity of either class."""
    for seed in range(cases):
        answers, weights = make_case(seed, 2)
        answers = Answers(answers.kind, answers.truth, answers.predicted, answers.scores, positive=positive)
        truth, answer = answers.truth == positive, answers.predicted == positive
        values = sk.precision_recall_fscore_support(
            truth, answer, average="binary", sample_weight=weights[1], zero_division=0
        )
        negative = sk.recall_score(~truth, ~answer, sample_weight=weights[1], zero_division=0)
        for name, value in zip(("precision", "recall", "f1", "specificity"), (*values[:3], negative), strict=True):
            np.testing.assert_allclose(ours(name, answers, weights)[1], value, **CLOSE, err_msg=f"{name} {seed}")


@CASES
@pytest.mark.filterwarnings("ignore")
def test_two_class_ranking(cases: int) -> None:
    """roc_auc, average_precision and the ROC point at a recall, with ties."""
    for seed in range(cases):
        answers, weights = make_case(seed, 2)
        truth, score, weight = answers.truth, answers.scores[:, 1], weights[seed % 2]
        value = sk.average_precision_score(truth, score, sample_weight=weight)
        np.testing.assert_allclose(ours("average_precision", answers, weights)[seed % 2], value, **CLOSE)
        got = ours("roc_auc", answers, weights)[seed % 2]
        if len(np.unique(truth)) < 2:
            assert np.isnan(got)
            continue
        np.testing.assert_allclose(got, sk.roc_auc_score(truth, score, sample_weight=weight), **CLOSE)
        false, true, _ = sk.roc_curve(truth, score, sample_weight=weight, drop_intermediate=False)
        got = ours("fpr_at_recall", answers, weights, recall=0.75)[seed % 2]
        np.testing.assert_allclose(got, false[true >= 0.75].min(), **CLOSE)


@CASES
@pytest.mark.filterwarnings("ignore")
def test_one_against_rest_ranking(cases: int) -> None:
    """Mean over classes equals scikit-learn's where all are true; an absent class is left out of the mean."""
    compared = 0
    for seed in range(cases):
        answers, weights = make_case(seed, 3)
        truth, scores, weight = answers.truth, answers.scores, weights[1]
        hot = truth[:, None] == np.arange(3)
        present = hot.any(0)
        each = [
            sk.average_precision_score(hot[:, c], scores[:, c], sample_weight=weight) for c in np.flatnonzero(present)
        ]
        expected = np.mean(each) if each else np.nan
        np.testing.assert_allclose(ours("average_precision", answers, weights)[1], expected, **CLOSE)
        if present.all() and (truth >= 0).all():
            value = sk.roc_auc_score(truth, scores, multi_class="ovr", average="macro", sample_weight=weight)
            np.testing.assert_allclose(ours("roc_auc", answers, weights)[1], value, **CLOSE)
            compared += 1
    assert compared > cases / 10


@CASES
@pytest.mark.filterwarnings("ignore")
def test_probabilities(cases: int) -> None:
    """log_loss and brier, two classes and more; a probability of 0 costs 36, as in scikit-learn."""
    for seed in range(1, cases):
        answers, weights = make_case(seed)
        if (answers.truth < 0).any():
            continue
        labels = np.arange(answers.scores.shape[1])
        value = sk.log_loss(answers.truth, answers.scores, labels=labels, sample_weight=weights[1])
        np.testing.assert_allclose(ours("log_loss", answers, weights)[1], value, **CLOSE)
        value = sk.brier_score_loss(answers.truth, answers.scores, labels=labels, sample_weight=weights[1])
        np.testing.assert_allclose(ours("brier", answers, weights)[1], value, **CLOSE)
    sure = Answers("classes", np.array([0]), np.array([1]), np.array([[0.0, 1.0]]))
    np.testing.assert_allclose(ours("log_loss", sure, np.ones((1, 1))), sk.log_loss([0], [[0.0, 1.0]], labels=[0, 1]))


def test_ece_against_its_definition() -> None:
    """A loop over bins, as in Guo et al. 2017."""
    for seed in range(100):
        answers, weights = make_case(seed, 4)
        confidence = answers.scores[np.arange(len(answers.truth)), answers.predicted]
        expected = 0.0
        for low in range(10):
            inside = (confidence > low / 10) & (confidence <= (low + 1) / 10)
            if inside.any():
                weight = weights[1] * inside
                right = (weight * (answers.truth == answers.predicted)).sum() / weight.sum()
                expected += weight.sum() * abs(right - (weight * confidence).sum() / weight.sum())
        got = ours("ece", answers, weights, bins=10)[1]
        np.testing.assert_allclose(got, expected / weights[1].sum(), **CLOSE)

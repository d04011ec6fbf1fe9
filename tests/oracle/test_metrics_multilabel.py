"""Metrics of label sets equal scikit-learn's, labels that nobody has and empty rows included."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn import metrics as sk

from tunesmith.metrics import METRICS, Answers

CLOSE = {"rtol": 0, "atol": 1e-12}
CASES = pytest.mark.parametrize("cases", [50, pytest.param(1000, marks=pytest.mark.slow)])


def make_case(seed: int) -> tuple[Answers, np.ndarray]:
    """Random sparse label sets; about one label in five is never true."""
    rng = np.random.default_rng(seed)
    rows, labels = int(rng.integers(1, 15)), int(rng.integers(2, 6))
    truth = (rng.random((rows, labels)) < rng.choice([0.0, 0.3, 0.6], labels, p=[0.2, 0.4, 0.4])).astype(int)
    scores = rng.integers(0, 5, (rows, labels)) / 4 if seed % 2 else rng.random((rows, labels))
    weights = np.stack([np.ones(rows), rng.random(rows) + 0.1])
    return Answers("multilabel", truth, (scores >= 0.5).astype(int), scores), weights


def theirs(answers: Answers, weight: np.ndarray) -> dict[str, float]:
    """What scikit-learn says of the same label sets."""
    truth, answer = answers.truth, answers.predicted
    found = {"subset_accuracy": sk.accuracy_score(truth, answer, sample_weight=weight)}
    found["hamming_loss"] = sk.hamming_loss(truth, answer, sample_weight=weight)
    for average in ("macro", "micro", "weighted", "samples"):
        precision, recall, f1, _ = sk.precision_recall_fscore_support(
            truth, answer, average=average, sample_weight=weight, zero_division=0
        )
        found[f"{average}_f1"] = f1
        if average == "macro":
            found |= {"macro_precision": precision, "macro_recall": recall}
    found["average_precision"] = sk.average_precision_score(truth, answers.scores, sample_weight=weight)
    return found


@CASES
@pytest.mark.filterwarnings("ignore")
def test_label_sets(cases: int) -> None:
    """Every metric of label sets."""
    with config_context(skip_parameter_validation=True):
        for seed in range(cases):
            answers, weights = make_case(seed)
            for name, value in theirs(answers, weights[seed % 2]).items():
                got = METRICS.find(name)().measure(answers, weights)[seed % 2]
                np.testing.assert_allclose(got, value, **CLOSE, err_msg=f"{name} {seed}")


@CASES
@pytest.mark.filterwarnings("ignore")
def test_roc_auc_is_the_mean_over_labels_with_both_answers(cases: int) -> None:
    """scikit-learn gives NaN when a label is never true; we leave that label out."""
    for seed in range(cases):
        answers, weights = make_case(seed)
        both = [c for c in range(answers.truth.shape[1]) if len(np.unique(answers.truth[:, c])) == 2]
        got = METRICS.find("roc_auc")().measure(answers, weights)[1]
        if both:
            value = sk.roc_auc_score(answers.truth[:, both], answers.scores[:, both], sample_weight=weights[1])
            np.testing.assert_allclose(got, value, **CLOSE)
        else:
            assert np.isnan(got)

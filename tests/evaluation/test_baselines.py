"""Baselines learn what is easy, answer in the shape of Answers, and survive poor data without a warning."""

import csv
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from tunesmith.evaluation.baselines import majority, probe, tfidf
from tunesmith.metrics import METRICS

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
WORDS = ["the pump leaks oil", "motor is too hot", "no power at panel"]


@pytest.fixture(autouse=True)
def no_warning() -> object:
    """Any warning that reaches the user fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def make_texts(rows: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Texts of three kinds with some noise words."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, rows)
    return [f"{WORDS[kind]} unit{rng.integers(0, 50)}" for kind in truth], truth


def test_tfidf_learns_classes() -> None:
    """Probabilities that sum to 1, and the same bits twice."""
    texts, truth = make_texts(100)
    new, new_truth = make_texts(50, 1)
    found, again = (tfidf(texts, truth, new, "classes", 3) for _ in range(2))
    assert (found.predicted == new_truth).all()
    np.testing.assert_allclose(found.scores.sum(1), 1)
    assert (found.scores == again.scores).all()
    answers = found.answers("classes", new_truth, ("leak", "hot", "power"))
    assert METRICS.find("accuracy")().measure(answers, np.ones((1, 50)))[0] == 1.0


def test_tfidf_learns_label_sets_and_numbers() -> None:
    """Two labels that words tell, one nobody has; a number that a word tells."""
    texts, kinds = make_texts(300)
    truth = np.stack([kinds == 0, kinds != 1, np.zeros(300)], axis=1).astype(int)
    found = tfidf(texts, truth, texts, "multilabel", 3)
    assert (found.predicted == truth).all() and (found.scores[:, 2] == 0).all()
    numbers = tfidf(texts, kinds * 2.0, texts, "numbers", 0)
    assert numbers.scores is None and np.abs(numbers.predicted - kinds * 2).max() < 0.5


def test_tfidf_learns_chinese() -> None:
    """No spaces between words: characters carry it."""
    texts = ["水泵漏油需要维修", "电机温度过高", "漏油的阀门", "高温的电机轴承"] * 5
    truth = np.array([0, 1, 0, 1] * 5)
    assert tfidf(texts, truth, ["管道漏油", "过高的温度"], "classes", 2).predicted.tolist() == [0, 1]


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_pairs(kind: str) -> None:
    """How many words two texts share: the words are new, so only what is shared can tell."""
    rng = np.random.default_rng(0)

    def pairs(start: int, rows: int) -> tuple[list[list[str]], np.ndarray]:
        share = rng.integers(0, 5, rows)
        words = [[f"w{start + rng.integers(0, 5000)}" for _ in range(8)] for _ in range(rows)]
        texts = [[" ".join(w[:4]), " ".join(w[:s] + w[4 : 8 - s])] for w, s in zip(words, share, strict=True)]
        return texts, share

    texts, share = pairs(0, 600)
    new, new_share = pairs(0, 200)
    if kind == "numbers":
        found = tfidf(texts, share.astype(float), new, "numbers", 0)
        assert np.corrcoef(found.predicted, new_share)[0, 1] > 0.8
    else:
        found = tfidf(texts, (share > 2).astype(int), new, "classes", 2)
        assert (found.predicted == (new_share > 2)).mean() > 0.8


def test_majority() -> None:
    """Unknown labels do not vote; shares are the scores."""
    found = majority(np.array([2, 2, 0, -1, -1, -1]), 2, "classes", 4)
    assert found.predicted.tolist() == [2, 2]
    np.testing.assert_allclose(found.scores[0], [1 / 3, 0, 2 / 3, 0])
    sets = majority(np.array([[1, 0], [1, 0], [0, 1]]), 1, "multilabel", 2)
    assert sets.predicted.tolist() == [[1, 0]]
    assert majority(np.array([1.0, 2.0, 6.0]), 2, "numbers", 0).predicted.tolist() == [3.0, 3.0]
    assert majority(np.array([-1]), 1, "classes", 2).scores.tolist() == [[0.0, 0.0]]


def test_a_class_of_one_row_and_classes_without_rows() -> None:
    """Five classes known, three seen, one of them once, and a row of an unknown label."""
    found = tfidf([*WORDS, WORDS[0], "what is this"], np.array([4, 1, 1, 4, -1]), WORDS, "classes", 5)
    assert found.scores.shape == (3, 5) and found.predicted.tolist() == [4, 1, 1]
    assert (found.scores[:, [0, 2, 3]] == 0).all()
    once = tfidf(WORDS, np.array([0, 1, 2]), WORDS, "classes", 3)
    assert once.predicted.tolist() == [0, 1, 2]


def test_one_class_only() -> None:
    """Is answered always, with certainty."""
    found = tfidf(WORDS, np.array([1, 1, 1]), ["x"], "classes", 3)
    assert found.predicted.tolist() == [1] and found.scores.tolist() == [[0.0, 1.0, 0.0]]


@pytest.mark.parametrize("texts", [["", "", ""], ["!?", "...", "?"], ["a", "b", ""]])
def test_texts_without_words(texts: list[str]) -> None:
    """Nothing to learn from is not a failure."""
    assert tfidf(texts, np.array([0, 1, 1]), ["", "new"], "classes", 2).scores.shape == (2, 2)
    assert np.isfinite(tfidf(texts, np.array([0.0, 1, 1]), ["", "new"], "numbers", 0).predicted).all()
    pairs = [[text, text] for text in texts]
    assert np.isfinite(tfidf(pairs, np.array([0.0, 1, 1]), [["", ""]], "numbers", 0).predicted).all()


def test_probe() -> None:
    """Vectors that tell classes, labels and numbers; a constant column does no harm."""
    rng = np.random.default_rng(0)
    features = np.c_[rng.normal(size=(400, 20)), np.ones(400)]
    truth = (features[:, 0] > 0).astype(int)
    train, new = slice(0, 300), slice(300, 400)
    found = probe(features[train], truth[train], features[new], "classes", 2)
    assert (found.predicted == truth[new]).mean() > 0.9
    sets = probe(features[train], np.stack([truth, 1 - truth], 1)[train], features[new], "multilabel", 2)
    assert (sets.predicted[:, 0] == truth[new]).mean() > 0.9
    numbers = probe(features[train], 3 * features[train, 0] + 5, features[new], "numbers", 0)
    assert np.abs(numbers.predicted - 3 * features[new, 0] - 5).mean() < 1.0


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "banking77").is_dir(), reason="the banking77 data are not beside this checkout")
def test_banking77() -> None:
    """10,003 texts, 77 classes: accuracy .916 in 8 s of processor time."""
    texts: dict[str, list[str]] = {}
    labels: dict[str, list[str]] = {}
    for part in ("train", "test"):
        with (DATA / "banking77" / f"{part}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        texts[part], labels[part] = [row["text"] for row in rows], [row["category"] for row in rows]
    names = sorted(set(labels["train"]))
    truth, expected = (np.array([names.index(label) for label in labels[part]]) for part in ("train", "test"))
    start = time.process_time()
    found = tfidf(texts["train"], truth, texts["test"], "classes", 77)
    assert time.process_time() - start < 40
    assert (found.predicted == expected).mean() >= 0.90

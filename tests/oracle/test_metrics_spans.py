"""Span metrics equal seqeval's: by default and strict IOB2, plain and over resamples, on tags as networks give them."""

import warnings
from typing import Any

import numpy as np
import pytest

from tunesmith.data.words import Words
from tunesmith.metrics import METRICS, Answers

seqeval = pytest.importorskip("seqeval.metrics", reason="seqeval is not installed: pip install seqeval==1.2.2")
LABELS = ("O", "B-a", "I-a", "B-b", "I-b", "B-c", "I-c")
NAMES = [f"span_{average}{part}" for average in ("", "macro_", "weighted_", "strict_")
         for part in ("precision", "recall", "f1")]  # fmt: skip


def answers(seed: int, rows: int = 40, longest: int = 12) -> Answers:
    """Random truth with proper tags, and predictions of which many break the scheme."""
    draw = np.random.default_rng(seed)
    counts = draw.integers(0, longest, rows)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    truth = draw.choice(7, offsets[-1], p=[0.5, 0.1, 0.15, 0.08, 0.12, 0.05, 0.0])
    predicted = np.where(draw.random(offsets[-1]) < 0.6, truth, draw.integers(0, 7, offsets[-1]))
    places = np.zeros(int(offsets[-1]), dtype=np.int32)
    return Answers("tags", truth, predicted, labels=LABELS, words=Words([""] * rows, offsets, places, places))


def sentences(found: Answers, tags: Any, rows: Any) -> list[list[str]]:
    assert found.words is not None
    at = found.words.offsets
    return [[LABELS[t] for t in tags[at[row] : at[row + 1]]] for row in rows]


def theirs(name: str, truth: list[list[str]], predicted: list[list[str]]) -> float:
    from seqeval.scheme import IOB2

    part = name.rsplit("_", 1)[-1]
    average = "macro" if "macro" in name else "weighted" if "weighted" in name else "micro"
    how = {"mode": "strict", "scheme": IOB2} if "strict" in name else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(getattr(seqeval, f"{part}_score")(truth, predicted, average=average, **how))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", NAMES)
def test_values_equal_seqeval(name: str, seed: int) -> None:
    found = answers(seed)
    rows = range(found.rows)
    mine = float(METRICS.make(name).measure(found, np.ones((1, found.rows)))[0])
    assert mine == pytest.approx(
        theirs(name, sentences(found, found.truth, rows), sentences(found, found.predicted, rows)), abs=1e-9
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_resample_is_what_seqeval_says_of_the_repeated_sentences(name: str) -> None:
    found = answers(11, rows=8)
    weights = np.random.default_rng(3).multinomial(8, np.full(8, 1 / 8), 5).astype(float)
    mine = METRICS.make(name).measure(found, weights)
    for value, weight in zip(mine, weights, strict=True):
        rows = np.repeat(np.arange(8), weight.astype(int))
        expected = theirs(name, sentences(found, found.truth, rows), sentences(found, found.predicted, rows))
        assert float(value) == pytest.approx(expected, abs=1e-9)


def test_token_accuracy_equals_seqeval() -> None:
    found = answers(5)
    rows = range(found.rows)
    mine = float(METRICS.make("token_accuracy").measure(found, np.ones((1, found.rows)))[0])
    expected = seqeval.accuracy_score(sentences(found, found.truth, rows), sentences(found, found.predicted, rows))
    assert mine == pytest.approx(expected, abs=1e-12)


def test_nothing_marked_and_nothing_found_is_nought_and_no_crash() -> None:
    words = Words(["a b"], np.array([0, 2]), np.zeros(2, np.int32), np.zeros(2, np.int32))
    none = Answers("tags", np.zeros(2, int), np.zeros(2, int), labels=LABELS, words=words)
    assert [float(METRICS.make(n).measure(none, np.ones((1, 1)))[0]) for n in NAMES] == [0.0] * len(NAMES)


def test_some_texts_of_answers_are_measured_as_they_would_be_alone() -> None:
    found = answers(7)
    some = np.array([3, 1, 30, 30])
    taken = found.take(some)
    expected = theirs("span_f1", sentences(found, found.truth, some), sentences(found, found.predicted, some))
    assert float(METRICS.make("span_f1").measure(taken, np.ones((1, 4)))[0]) == pytest.approx(expected, abs=1e-9)

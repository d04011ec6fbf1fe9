"""Intervals and paired tests of generated text: corpus scores resampled row by row."""

import random
import time
from dataclasses import replace

import numpy as np
import pytest
from sacrebleu.metrics import BLEU

from corpora import corpus, noisy
from tunesmith.errors import TunesmithError
from tunesmith.evaluation.intervals import draws, intervals
from tunesmith.evaluation.significance import mcnemar, paired_bootstrap, paired_permutation
from tunesmith.metrics import METRICS, Answers

BLEU_ONE = METRICS.make("bleu")


def make_pair(seed: int, rows: int, worse: int) -> tuple[Answers, Answers]:
    """Two models on the same references; the second makes `worse` more rounds of mistakes."""
    rng = random.Random(seed)
    words = "it is a fine day and we go out to see the sea before noon with all of you".split(" ")  # noqa: SIM905
    references = [(" ".join(rng.choices(words, k=12)), " ".join(rng.choices(words, k=9))) for _ in range(rows)]
    first = [noisy(rng, row[0], False) for row in references]
    second = [noisy(rng, row[0], False) for row in references]
    for _ in range(worse):
        second = [noisy(rng, text, False) for text in second]
    return Answers.of_texts(references, first), Answers.of_texts(references, second)


def sacrebleu(answers: Answers, rows: np.ndarray) -> float:
    """sacreBLEU of the rows, repeated as given."""
    references = [answers.truth[row] for row in rows]
    streams = [[refs[k] for refs in references] for k in range(2)]
    return float(BLEU().corpus_score([str(answers.predicted[row]) for row in rows], streams).score)


def test_the_interval_is_that_of_sacrebleu_on_repeated_rows() -> None:
    """The definition of the bootstrap, with sacreBLEU in the loop."""
    answers, _ = make_pair(0, 25, 0)
    rows = [np.repeat(np.arange(25), weight.astype(int)) for weight in np.concatenate(list(draws(25, 60, 3)))]
    low, high = np.quantile([sacrebleu(answers, each) for each in rows], [0.05, 0.95])
    found = intervals([BLEU_ONE], answers, resamples=60, seed=3, level=0.9)["bleu"]
    assert found.value == pytest.approx(sacrebleu(answers, np.arange(25)), abs=1e-9)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))


def test_paired_bootstrap_of_bleu() -> None:
    """The difference, its interval and p equal a loop over sacreBLEU with the same draws for both models."""
    a, b = make_pair(1, 25, 1)
    found = paired_bootstrap(BLEU_ONE, a, b, resamples=60, seed=5)
    rows = [np.repeat(np.arange(25), weight.astype(int)) for weight in np.concatenate(list(draws(25, 60, 5)))]
    drawn = np.array([sacrebleu(a, each) - sacrebleu(b, each) for each in rows])
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert found.value == pytest.approx(sacrebleu(a, np.arange(25)) - sacrebleu(b, np.arange(25)), abs=1e-9)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    assert found.p == min(1.0, 2 * (min((drawn <= 0).sum(), (drawn >= 0).sum()) + 1) / 61)


def test_paired_tests_tell_a_worse_model_and_spare_an_equal_one() -> None:
    """100 rows: three rounds of mistakes more are beyond chance for both tests, and none are not."""
    a, worse = make_pair(2, 100, 3)
    _, equal = make_pair(2, 100, 0)
    for test in (paired_bootstrap, paired_permutation):
        told = test(BLEU_ONE, a, worse, resamples=400)
        assert told.value > 5 and told.p < 0.02
        assert test(BLEU_ONE, a, equal, resamples=400).p > 0.05
        assert test(BLEU_ONE, a, a, resamples=100).value == 0


def test_a_swap_of_all_answers_is_the_other_model() -> None:
    """All 16 swaps of four rows, by sacreBLEU."""
    a, b = make_pair(3, 4, 2)
    found = paired_permutation(BLEU_ONE, a, b, resamples=100)
    differences = []
    for number in range(16):
        swapped = [bool(number >> row & 1) for row in range(4)]
        first = np.where(swapped, b.predicted, a.predicted)
        second = np.where(swapped, a.predicted, b.predicted)
        values = [
            sacrebleu(Answers.of_texts(a.truth.tolist(), said.tolist()), np.arange(4)) for said in (first, second)
        ]
        differences.append(values[0] - values[1])
    assert found.value == pytest.approx(differences[0], abs=1e-9)
    assert found.p == np.mean(np.abs(differences) >= abs(differences[0]) - 1e-9)


def test_answers_to_other_references_are_no_pair() -> None:
    a, _ = make_pair(4, 10, 0)
    other, _ = make_pair(5, 10, 0)
    with pytest.raises(TunesmithError, match="were not measured on the same rows"):
        paired_bootstrap(BLEU_ONE, a, other)
    with pytest.raises(TunesmithError, match=r"mcnemar: needs the classes .* for numbers and text take"):
        mcnemar(a, a)


def test_refusals() -> None:
    """Metrics of other kinds, rows without a reference, likelihoods of a model that has diverged."""
    answers, _ = make_pair(6, 3, 0)
    with pytest.raises(TunesmithError, match=r"accuracy: measures classes, and these answers are text; .*: bits_per"):
        intervals([METRICS.make("accuracy")], answers)
    with pytest.raises(TunesmithError, match="row 2: truth is an empty tuple"):
        intervals([BLEU_ONE], Answers.of_texts([("a",), ()], ["a", "b"]))
    scores = np.array([[1.0, 2, 1, 3], [np.inf, 2, 1, 3]])
    with pytest.raises(TunesmithError, match="scores: 1 of 2 rows hold NaN or infinity, first row 2"):
        intervals([METRICS.make("nll")], Answers.of_texts([("a",), ("b",)], ["", ""], scores))
    with pytest.raises(TunesmithError, match="no rows to measure"):
        intervals([BLEU_ONE], Answers.of_texts([], []))
    with pytest.raises(TunesmithError, match=r"scores: have the shape \(2, 3\); .* need \(2, 4\)"):
        intervals([METRICS.make("nll")], Answers.of_texts([("a",), ("b",)], ["", ""], scores[:1, :3].repeat(2, 0)))


def test_all_metrics_of_text_take_seconds() -> None:
    """400 rows, 1,000 resamples, every metric of text but the slow ter and those that only JSON, a schema or training
    rows give a value: the rows are worked on once."""
    references, said = corpus(7, 400, chinese=False)
    scores = np.random.default_rng(0).integers(1, 9, (400, 4)).astype(float)
    names = [name for name in METRICS.names() if "text" in METRICS.find(name).kinds]
    names = [name for name in names if name not in ("ter", "json_field_f1", "schema_valid", "style")]
    answers = replace(Answers.of_texts(references, said, scores), asked=np.array([r[0] for r in references], object))
    start = time.process_time()
    found = intervals([METRICS.make(name) for name in names], answers)
    assert time.process_time() - start < 10
    kept = [name for name in names if name not in ("distinct_1", "distinct_2")]  # biased by repetition, as documented
    assert all(found[name].low <= found[name].value <= found[name].high for name in kept)
    assert found["distinct_2"].high < found["distinct_2"].value

"""Intervals: reproducible, honest about what is undefined, of the promised coverage, and quick."""

import time

import numpy as np
import pytest

from tunesmith.errors import TunesmithError
from tunesmith.evaluation import intervals as module
from tunesmith.evaluation.intervals import Interval, draws, intervals
from tunesmith.metrics import METRICS, Answers, Metric


def metric(name: str) -> Metric:
    """The metric of that name."""
    return METRICS.find(name)()


def make_answers(rng: np.random.Generator, rows: int, right: float = 0.8, num_classes: int = 3) -> Answers:
    """Rows that are right with a fixed chance, and else wrong evenly."""
    truth = rng.integers(0, num_classes, rows)
    other = (truth + rng.integers(1, num_classes, rows)) % num_classes
    return Answers("classes", truth, np.where(rng.random(rows) < right, truth, other))


def test_draws_are_multinomial_weights() -> None:
    """As many draws as rows, none favoured; the chunk size does not change them."""
    weights = np.concatenate(list(draws(50, 2000, 0)))
    assert weights.shape == (2000, 50) and (weights.sum(1) == 50).all()
    assert abs(weights.var() - (1 - 1 / 50)) < 0.03
    np.testing.assert_allclose(weights.mean(0), 1, atol=0.12)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same intervals, bit for bit, whatever the memory."""
    answers = make_answers(np.random.default_rng(0), 40)
    chosen = [metric("macro_f1"), metric("accuracy")]
    whole = intervals(chosen, answers, resamples=100)
    monkeypatch.setattr(module, "CELLS", 500)
    assert intervals(chosen, answers, resamples=100) == whole
    assert intervals(chosen, answers, resamples=100, seed=1) != whole


def test_equals_a_loop_over_repeated_rows() -> None:
    """The definition of the bootstrap: draw rows, measure, take quantiles."""
    answers = make_answers(np.random.default_rng(1), 30)
    values = []
    for weight in np.concatenate(list(draws(30, 50, 7))):
        drawn = answers.take(np.repeat(np.arange(30), weight.astype(int)))
        values.append(metric("macro_f1").measure(drawn, np.ones((1, 30)))[0])
    low, high = np.quantile(values, [0.05, 0.95])
    found = intervals([metric("macro_f1")], answers, resamples=50, seed=7, level=0.9)["macro_f1"]
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12))


def test_undefined_resamples_are_counted() -> None:
    """A correlation of constant answers does not exist; of almost constant ones it exists in some resamples."""
    truth = np.arange(6.0)
    always = intervals([metric("spearman")], Answers("numbers", truth, np.ones(6)), resamples=100)["spearman"]
    assert np.isnan([always.value, always.low, always.high]).all() and always.undefined == 100
    nearly = Answers("numbers", truth, np.array([0.0, 0, 0, 0, 0, 1]))
    some = intervals([metric("spearman")], nearly, resamples=1000)["spearman"]
    assert 250 < some.undefined < 420 and some.low <= some.value <= some.high


def test_groups_are_drawn_whole() -> None:
    """Rows that come ten times carry no more knowledge than once."""
    once = make_answers(np.random.default_rng(2), 50)
    ten = once.take(np.repeat(np.arange(50), 10))
    groups = [f"group {number}" for number in np.repeat(np.arange(50), 10)]
    grouped = intervals([metric("accuracy")], ten, groups=groups)["accuracy"]
    assert grouped == intervals([metric("accuracy")], once)["accuracy"]
    single = intervals([metric("accuracy")], ten)["accuracy"]
    assert single.high - single.low < 0.5 * (grouped.high - grouped.low)


@pytest.mark.parametrize(("name", "truth"), [("accuracy", 0.8), ("macro_f1", 0.8)])
def test_coverage(name: str, truth: float) -> None:
    """95 % intervals hold the true value in 93-97 % of 500 simulated test sets of 300 rows."""
    held = 0
    for seed in range(500):
        answers = make_answers(np.random.default_rng(seed), 300)
        found = intervals([metric(name)], answers, resamples=500, seed=seed)[name]
        held += found.low <= truth <= found.high
    assert 0.93 <= held / 500 <= 0.97, held / 500


@pytest.mark.slow
@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "mcc", "roc_auc", "spearman"])
def test_coverage_of_more_metrics(name: str) -> None:
    """1,000 test sets of 300 rows, the true value measured on two million rows."""

    def sample(seed: int, rows: int) -> Answers:
        rng = np.random.default_rng(seed)
        signal, noise = rng.normal(size=(2, rows))
        if name == "spearman":
            return Answers("numbers", signal, signal + noise)
        truth = np.digitize(signal, [-0.5, 1.0] if name != "roc_auc" else [0.8])
        score = signal + noise
        centres = np.array([-1.0, 0.2, 1.5])[: truth.max() + 1]
        scores = np.exp(-((score[:, None] - centres) ** 2))
        return Answers("classes", truth, scores.argmax(1), scores / scores.sum(1, keepdims=True))

    big = sample(10**6, 2_000_000)
    value = metric(name).measure(big, np.ones((1, len(big.truth))))[0]
    held = 0
    for seed in range(1000):
        found = intervals([metric(name)], sample(seed, 300), seed=seed)[name]
        held += found.low <= value <= found.high
    assert 0.93 <= held / 1000 <= 0.97, held / 1000


def test_ten_metrics_of_77_classes_take_seconds() -> None:
    """3,080 rows, 1,000 resamples: 0.2 s of processor time for ten metrics of counts, 1.3 s with both rankings."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 77, 3080)
    scores = rng.random((3080, 77)) + 2 * np.eye(77)[truth] * rng.random((3080, 1))
    answers = Answers("classes", truth, scores.argmax(1), scores / scores.sum(1, keepdims=True))
    names = "accuracy balanced_accuracy macro_f1 weighted_f1 macro_recall mcc log_loss brier roc_auc average_precision"
    start = time.process_time()
    found = intervals([metric(name) for name in names.split()], answers)
    assert time.process_time() - start < 10
    assert all(each.low < each.value < each.high for each in found.values())


def test_one_row() -> None:
    """Every draw is that row."""
    answers = Answers("classes", np.array([1]), np.array([1]))
    assert intervals([metric("accuracy")], answers, resamples=10)["accuracy"] == Interval(1.0, 1.0, 1.0, 0)


def test_refusals() -> None:
    """What does not fit, what is empty, what has diverged."""
    numbers = Answers("numbers", np.array([1.0, 2.0]), np.array([1.0, np.nan]))
    with pytest.raises(TunesmithError, match=r"accuracy: measures classes, and these answers are numbers; .*: mae, "):
        intervals([metric("accuracy")], numbers)
    with pytest.raises(TunesmithError, match="predicted: 1 of 2 rows hold NaN or infinity, first row 2"):
        intervals([metric("mae")], numbers)
    with pytest.raises(TunesmithError, match="no rows to measure"):
        intervals([metric("mae")], numbers.take(np.array([], dtype=int)))
    with pytest.raises(TunesmithError, match="groups: 1 group ids for 2 rows"):
        intervals([metric("mae")], Answers("numbers", np.ones(2), np.ones(2)), groups=[1])

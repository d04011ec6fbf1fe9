"""Weights mean what they say: integer weights are repeated rows, weight 0 drops a row, row order changes nothing."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpora import corpus
from tunesmith.data.words import Words
from tunesmith.metrics import METRICS, Answers, Beside, Metric, Own, _counts
from tunesmith.metrics._ranking import Ranked

ALL = [METRICS.find(name)() for name in METRICS.names()]
PAIRS = [
    (metric, kind) for metric in ALL for kind in metric.kinds if kind != "vectors" and not isinstance(metric, Ranked)
]
"""Rows of a ranking depend on each other: a row twice is another ranking, and only whole queries can be weighed, which
`test_rankings.py` does."""
TAGS = ("O", "B-a", "I-a", "B-b", "I-b")


def make(kind: str, num_classes: int, seed: int, rows: int = 12, *, name: str = "") -> Answers:
    """Random answers with ties, absent classes and, for more than two classes, unknown labels."""
    rng = np.random.default_rng(seed)
    if kind == "text":
        return make_texts(seed, rows, name)
    if kind == "pairs":
        return make_pairs(seed, rows)
    if kind == "tags":
        return make_tags(seed, rows)
    if kind == "several":
        return make_several(seed, num_classes, rows)
    if kind == "numbers":
        return Answers("numbers", rng.integers(0, 4, rows) / 3, rng.integers(0, 4, rows) / 7)
    scores = rng.integers(1, 5, (rows, num_classes)) / 4
    if kind == "multilabel":
        return Answers("multilabel", rng.integers(0, 2, scores.shape), (scores >= 0.5).astype(int), scores)
    truth = rng.integers(-1 if num_classes > 2 else 0, num_classes, rows)
    return Answers("classes", truth, scores.argmax(1), scores / scores.sum(1, keepdims=True))


def make_several(seed: int, num_classes: int, rows: int) -> Answers:
    """Random answers of two tasks, the rows of which take turns."""
    parts = {
        name: Own(
            np.arange(first, rows, 2), make("classes", num_classes, seed + first, rows=len(range(first, rows, 2))), m
        )
        for first, (name, m) in enumerate((("a", "accuracy"), ("b", "macro_f1")))
    }
    return Answers("several", np.zeros((rows, 4)), np.zeros((rows, 2)), parts=parts)


def make_tags(seed: int, rows: int) -> Answers:
    """Random tags of the words of texts, some without a word."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 6, rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    starts = np.concatenate([2 * np.arange(n) for n in lengths] or [np.zeros(0)]).astype(np.int32)
    words = Words([" ".join("w" * int(n)) for n in lengths], offsets, starts, starts + 1)
    truth, said = rng.integers(0, len(TAGS), (2, int(lengths.sum())))
    return Answers("tags", truth, said, np.eye(len(TAGS))[said], labels=TAGS, words=words)


def make_pairs(seed: int, rows: int) -> Answers:
    """Random log-probabilities and rewards with ties; some rows have one answer."""
    rng = np.random.default_rng(seed)
    logps, tokens = -rng.integers(1, 9, (rows, 2)) / 4.0, rng.integers(1, 5, (rows, 2)) * [1, 1]
    tokens[:, 1] *= rng.integers(0, 2, rows)
    rewards = rng.integers(-2, 3, (rows, 2)) / 8
    scores = np.column_stack([logps, tokens, logps + rng.integers(-3, 4, (rows, 2)) / 4, rewards])
    return Answers("pairs", rng.integers(0, 2, rows), (np.sign(rewards[:, 0] - rewards[:, 1]) + 1) / 2, scores)


def make_texts(seed: int, rows: int, name: str) -> Answers:
    """Random texts of one language, so that any rows of them are of that language; JSON for a metric of JSON."""
    rng = np.random.default_rng(seed)
    references, said = corpus(seed, rows, chinese=seed % 2 == 0)
    # "Fine words" in front of each text keep it in its language.
    front = "好的：" if seed % 2 == 0 else "so it is then "
    references = [tuple(front + text for text in refs) for refs in references]
    if name == "json_field_f1":
        values = rng.integers(0, 3, (2, rows, 2)).tolist()
        references = [(f'{{"a": {a}, "b": [{b}]}}', f"[{a}]") for a, b in values[0]]
        said = [f'{{"a": {a}, "b": [{b}]' + ("}" if a else "") for a, b in values[1]]
    tokens = rng.integers(0, 4, rows).astype(float)
    scores = np.stack([rng.random(rows) * tokens, tokens, np.minimum(tokens, 1), 3 * tokens], axis=1)
    taught = [(front + "calm", front + "LOUD!"), (front + "still", front + "SHOUTED!")] * 3
    beside = Beside({"type": "object", "required": ["a"]}, taught)
    return replace(Answers.of_texts(references, said, scores), asked=np.array(said, dtype=object), beside=beside)


def same(got: np.ndarray, expected: np.ndarray) -> None:
    """Equal to 1e-12, NaN where the other is NaN."""
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("metric", "kind"), PAIRS, ids=lambda value: getattr(value, "name", value))
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_classes=st.integers(2, 4),
    times=st.lists(st.integers(0, 3), min_size=12, max_size=12).filter(lambda times: sum(times) > 1),
)
def test_integer_weights_are_repeated_rows(
    metric: Metric, kind: str, seed: int, num_classes: int, times: list[int]
) -> None:
    """Each metric, each kind of answers it takes."""
    answers = make(kind, 2 if metric.two_classes_only else num_classes, seed, name=metric.name)
    repeated = answers.take(np.repeat(np.arange(12), times))
    # The positive class and the number of classes come from the scores, so a class that vanishes stays known.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weighted = metric.measure(answers, np.array([times], float))
        same(weighted, metric.measure(repeated, np.ones((1, sum(times)))))


@pytest.mark.parametrize(("metric", "kind"), PAIRS, ids=lambda value: getattr(value, "name", value))
def test_each_resample_is_measured_alone(metric: Metric, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once, in chunks, one by one and with rows shuffled: the same values."""
    answers = make(kind, 2, 3, name=metric.name)
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 4, (50, 12)).astype(float)
    at_once = metric.measure(answers, weights)
    same(at_once, np.concatenate([metric.measure(answers, weight[None]) for weight in weights]))
    order = rng.permutation(12)
    same(at_once, metric.measure(answers.take(order), weights[:, order]))
    monkeypatch.setattr(_counts, "CELLS", 100)
    same(at_once, metric.measure(answers, weights))


@pytest.mark.parametrize(("metric", "kind"), PAIRS, ids=lambda value: getattr(value, "name", value))
def test_no_rows_no_value(metric: Metric, kind: str) -> None:
    """A resample without any row is undefined (or 0 by the rule of zero division), and never a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = metric.measure(make(kind, 2, 1, name=metric.name), np.zeros((1, 12)))
        assert np.isnan(value[0]) or value[0] == 0
        metric.measure(make(kind, 2, 1, rows=0, name=metric.name), np.zeros((1, 0)))

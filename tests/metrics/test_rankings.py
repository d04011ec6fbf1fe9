"""Ranking metrics: equal to what trec_eval says (recorded, and asked anew where pytrec_eval is installed), and to cases
worked by hand."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tunesmith.errors import TunesmithError
from tunesmith.evaluation.intervals import intervals
from tunesmith.evaluation.significance import paired_bootstrap, paired_permutation
from tunesmith.metrics import METRICS, Answers
from tunesmith.tasks._embed_asked import RANKING

QUERIES, PASSAGES = 9, 140


def drawn(seed: int = 0) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]], Answers]:
    """(relevance, scores by query and passage, the same as answers)."""
    draw = np.random.default_rng(seed)
    relevance: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    rows = []
    for q in range(QUERIES):
        score = draw.permutation(PASSAGES).astype(float)
        place = PASSAGES - score
        judged = draw.choice(PASSAGES, draw.integers(1, 25), replace=False)
        grade = draw.integers(0, 4, len(judged))
        grade[0] = 2
        relevance[f"q{q}"] = {f"d{d}": int(g) for d, g in zip(judged, grade, strict=True)}
        run[f"q{q}"] = {f"d{d}": float(s) for d, s in enumerate(score)}
        rows += [(g, q, place[d]) for d, g in zip(judged, grade, strict=True)]
    table = np.array(rows, dtype=np.float64)[draw.permutation(len(rows))]
    return relevance, run, Answers("vectors", table[:, :2], table[:, 2], table[:, 2:] * 0)


def value(name: str, answers: Answers) -> float:
    return float(METRICS.make(name).measure(answers, np.ones((1, len(answers.truth))))[0])


NAMES = {
    "ndcg_at_10": "ndcg_cut_10", "map": "map", "recall_at_1": "recall_1", "recall_at_10": "recall_10",
    "recall_at_100": "recall_100", "precision_at_10": "P_10", "mrr_at_10": "recip_rank",
}  # fmt: skip


TREC = {
    "ndcg_at_10": (0.06533744, 0.08289318, 0.04961555,
                   0.6361911, 0.4108932, 0.5598662, 0.6059915, 0.43105, 0.6024948),
    "mrr_at_10": (0.1887125, 0.1777778, 0.1901235,
                  0.8611111, 0.5574074, 0.7777778, 0.9444444, 0.8148148, 1),
    "map": (0.1072273, 0.1168625, 0.1113617,
            0.5642329, 0.5153843, 0.5869551, 0.8185081, 0.7594079, 0.8198669),
    "recall_at_1": (0.01111111, 0.01587302, 0.01587302,
                    0.0188683, 0.00752495, 0.07219186, 0.02106721, 0.01465615, 0.05472529),
    "recall_at_10": (0.05142131, 0.07032628, 0.07063492,
                     0.1867817, 0.12588, 0.3758851, 0.1907871, 0.1415531, 0.3844212),
    "recall_at_100": (0.7061106, 0.769224, 0.6697224,
                      0.9476959, 0.9444902, 0.97897, 0.9472066, 0.9462894, 0.9795631),
    "precision_at_10": (0.07777778, 0.07777778, 0.06666667,
                        0.6111111, 0.4111111, 0.4333333, 0.8555556, 0.6888889, 0.8),
}  # fmt: skip
"""What pytrec_eval 0.5.11 says of `drawn(0 … 2)`, and of `pairs_drawn(0 … 2)` of classes and of numbers."""


@pytest.mark.parametrize("name", RANKING)
def test_equals_what_trec_eval_said(name: str) -> None:
    made = [drawn(seed)[2] for seed in range(3)]
    made += [pairs_drawn(seed, kind)[2] for kind in ("classes", "numbers") for seed in range(3)]
    assert [value(name, answers) for answers in made] == pytest.approx(TREC[name], abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", RANKING)
def test_equals_trec_eval(name: str, seed: int) -> None:
    trec: Any = pytest.importorskip("pytrec_eval")
    relevance, run, answers = drawn(seed)
    if name == "mrr_at_10":  # trec_eval has no cut for it: give it ten places alone
        run = {q: dict(sorted(of.items(), key=lambda one: -one[1])[:10]) for q, of in run.items()}
    wanted = {"recip_rank", "map", "P.10", "recall.1,10,100", "ndcg_cut.10"}
    found = trec.RelevanceEvaluator(relevance, wanted).evaluate(run)
    expected = np.mean([each[NAMES[name]] for each in found.values()])
    assert value(name, answers) == pytest.approx(expected, abs=1e-6)


def test_worked_by_hand() -> None:
    """Query 0: grades 2, 1 at places 1 and 4, one answer at 12. Query 1: grade 1 at place 2, and a passage that is
    none at place 1. Query 2 has no answer and is left out."""
    truth = np.array([[2, 0], [1, 0], [1, 0], [1, 1], [0, 1], [0, 2]], dtype=np.float64)
    answers = Answers("vectors", truth, np.array([1.0, 4, 12, 2, 1, 3]))
    ideal = 2 + 1 / math.log2(3) + 1 / math.log2(4)
    expected = {
        "ndcg_at_10": ((2 + 1 / math.log2(5)) / ideal + 1 / math.log2(3)) / 2,
        "map": ((1 + 2 / 4 + 3 / 12) / 3 + 1 / 2) / 2,
        "mrr_at_10": (1 + 1 / 2) / 2,
        "recall_at_1": (1 / 3 + 0) / 2,
        "recall_at_10": (2 / 3 + 1) / 2,
        "recall_at_100": 1.0,
        "precision_at_10": (2 / 10 + 1 / 10) / 2,
    }
    assert set(expected) == set(RANKING)
    for name, wanted in expected.items():
        assert value(name, answers) == pytest.approx(wanted, abs=1e-12), name


@pytest.mark.parametrize("name", RANKING)
def test_a_query_drawn_twice_counts_twice(name: str) -> None:
    _, _, answers = drawn()
    query = answers.truth[:, 1]
    twice = np.flatnonzero(query == 3)
    truth = np.concatenate([answers.truth, np.column_stack([answers.truth[twice, 0], np.full(len(twice), 99.0)])])
    longer = Answers("vectors", truth, np.concatenate([answers.predicted, answers.predicted[twice]]))
    weights = np.where(query == 3, 2.0, 1.0)[None]
    assert METRICS.make(name).measure(answers, weights)[0] == pytest.approx(value(name, longer), abs=1e-12)


def test_intervals_draw_queries() -> None:
    _, _, answers = drawn()
    metric = METRICS.make("ndcg_at_10")
    found = intervals([metric], answers, resamples=400, groups=answers.groups)["ndcg_at_10"]
    each = [value("ndcg_at_10", answers.take(answers.truth[:, 1] == q)) for q in range(QUERIES)]
    draws = np.random.default_rng(1).integers(0, QUERIES, (4000, QUERIES))
    low, high = np.quantile(np.array(each)[draws].mean(1), [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.03) and found.high == pytest.approx(high, abs=0.03)


def test_paired_tests_take_rankings() -> None:
    _, _, answers = drawn()
    better = Answers("vectors", answers.truth, np.maximum(1, answers.predicted // 3), answers.scores)
    metric = METRICS.make("ndcg_at_10")
    assert paired_bootstrap(metric, better, answers, groups=answers.groups).p < 0.02
    assert paired_permutation(metric, better, answers, groups=answers.groups).p < 0.02


# pairs that are classified or scored: a re-ranker


def pairs_drawn(seed: int, kind: str) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]], Answers]:
    """(relevance, scores by query and passage, the same as answers to pairs, in any order)."""
    draw, rows = np.random.default_rng(seed), []
    relevance: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    for q in range(QUERIES):
        size = int(draw.integers(3, 130))
        grade = draw.integers(0, 2 if kind == "classes" else 4, size)
        grade[0] = q > 0  # the first query has no answer, as a rule
        score = (draw.permutation(size) + 1) / (size + 2)
        relevance[f"q{q}"] = {f"d{d}": int(g) for d, g in enumerate(grade)}
        run[f"q{q}"] = {f"d{d}": float(s) for d, s in enumerate(score)}
        rows += [(q, g, s) for g, s in zip(grade, score, strict=True)]
    query, grade, score = np.array(rows, dtype=np.float64)[draw.permutation(len(rows))].T
    numbers = query.astype(np.int64)
    if kind == "numbers":
        truth = grade.astype(np.float32).astype(np.float64) + 1e-7  # as a network's float32 targets come back
        return relevance, run, Answers("numbers", truth, score, queries=numbers)
    both = np.column_stack([score, 1 - score])  # the positive class is the first one
    truth, said = 1 - grade.astype(np.int64), both.argmax(1)
    return relevance, run, Answers("classes", truth, said, both, ("no", "yes"), 0, queries=numbers)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
@pytest.mark.parametrize("name", RANKING)
def test_rankings_of_pairs_equal_trec_eval(name: str, kind: str) -> None:
    trec: Any = pytest.importorskip("pytrec_eval")
    for seed in range(3):
        relevance, run, answers = pairs_drawn(seed, kind)
        if name == "mrr_at_10":
            run = {q: dict(sorted(of.items(), key=lambda one: -one[1])[:10]) for q, of in run.items()}
        wanted = {"recip_rank", "map", "P.10", "recall.1,10,100", "ndcg_cut.10"}
        found = trec.RelevanceEvaluator(relevance, wanted).evaluate(run)
        asked = [q for q, of in relevance.items() if max(of.values()) > 0]
        expected = np.mean([found[q][NAMES[name]] for q in asked])
        assert value(name, answers) == pytest.approx(expected, abs=1e-6)


def test_equal_scores_are_not_rewarded_for_the_order_of_a_file() -> None:
    """Two queries of three candidates, one answer each, all scores alike: it stands third, wherever it was written."""
    for right in range(3):
        truth = np.tile(np.eye(3)[right], 2)
        answers = Answers("numbers", truth, np.zeros(6), queries=np.repeat([0, 1], 3))
        assert value("mrr_at_10", answers) == pytest.approx(1 / 3, abs=1e-12)
        assert value("recall_at_1", answers) == 0


def test_rankings_of_pairs_want_queries() -> None:
    answers = Answers("numbers", np.ones(3), np.ones(3))
    with pytest.raises(TunesmithError, match="which rows belong to one query. Name it: task.query"):
        value("map", answers)


@pytest.mark.parametrize("kind", ["classes", "numbers", "vectors"])
def test_paired_tests_compare_rankings_query_by_query(kind: str) -> None:
    """The observed difference is that of the two values; a model does not differ from itself."""
    answers = drawn()[2] if kind == "vectors" else pairs_drawn(0, kind)[2]
    other = replace(answers, predicted=answers.predicted[::-1].copy(),
                    scores=None if answers.scores is None else answers.scores[::-1].copy())  # fmt: skip
    for metric in map(METRICS.make, ("map", "ndcg_at_10")):
        found = paired_permutation(metric, answers, other, groups=answers.groups)
        assert found.value == pytest.approx(value(metric.name, answers) - value(metric.name, other), abs=1e-12)
        assert paired_permutation(metric, answers, answers, groups=answers.groups).p == 1
        drawn_too = paired_bootstrap(metric, answers, other, groups=answers.groups)
        assert drawn_too.value == pytest.approx(found.value, abs=1e-12)


def test_slices_and_known_labels_keep_their_queries() -> None:
    _, _, answers = pairs_drawn(1, "numbers")
    assert answers.queries is not None and answers.groups is answers.queries
    one = answers.take(answers.queries == 4)
    assert one.queries is not None and set(one.queries.tolist()) == {4}

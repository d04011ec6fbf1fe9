"""Measures of rankings, a value for each query: where the passages stand that answer it.

A row is a passage that answers a query: `truth` (N, 2) holds its relevance and the number of the query, `predicted`
(N,) its place in the query's ranking, from 1. Passages of relevance 0 or less are no answers; a query with none is
left out. Values are those of trec_eval (measures recip_rank, map, P, recall, ndcg_cut), but for equal scores, which
the ranking itself has to put in an order.

Of pairs that are classified or scored (a re-ranker), `queries` (N,) says which rows are candidates for one question.
They are ranked by the probability of the positive class, which is relevance 1, or by the predicted number, the true
one being the relevance, to four decimals. Of equal scores the more relevant one stands last, so that a constant answer
is not rewarded for the order of a file.

Shape letters: N rows, Q queries, R resamples (which draw queries, not rows).
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from tunesmith.errors import TunesmithError
from tunesmith.metrics import Answers, Floats, Ints, Kind, Metric
from tunesmith.metrics._counts import divide, positive, scores

PerQuery = Callable[[Ints, Floats, Floats], Floats]
"""(query of each answer, its place, its relevance), answers in the order of queries and places -> values (Q,)."""


class Ranked(Metric):
    """A measure of rankings. Abstract."""

    kinds: ClassVar[tuple[Kind, ...]] = ("vectors", "classes", "numbers")

    def objection(self, plan: Any) -> str | None:
        if plan.task.kind == "vectors" or getattr(plan.task, "query", None) is not None:
            return None
        return f"{type(self).model_fields['name'].default} ranks the candidates of a query. Name the column: task.query"


def over_queries(answers: Answers, weight_RN: Floats, name: str, measure: PerQuery) -> Floats:
    """Mean over the queries as often as each was drawn, (R,)."""
    if name not in answers.prepared:
        answers.prepared[name] = _of_each(answers, measure)
    rows_Q, value_Q = answers.prepared[name]
    weight_RQ = weight_RN[:, rows_Q]
    return divide(weight_RQ @ value_Q, weight_RQ.sum(1))


def _of_each(answers: Answers, measure: PerQuery) -> tuple[Ints, Floats]:
    """(a row of each query that has an answer, its value)."""
    gain_N, query_N, place_N = _places(answers)
    right = np.flatnonzero(gain_N > 0)
    right = right[np.lexsort((place_N[right], query_N[right]))]
    _, first, number = np.unique(query_N[right], return_index=True, return_inverse=True)
    return right[first], measure(number, place_N[right], gain_N[right])


def _places(answers: Answers) -> tuple[Floats, Ints, Floats]:
    """(relevance, query, place in its ranking from 1) of each row, (N,) each."""
    if answers.kind == "vectors":
        query_N = answers.truth[:, 1].astype(np.int64)
        return answers.truth[:, 0].astype(np.float64), query_N, answers.predicted.astype(np.float64)
    if answers.queries is None:
        raise TunesmithError("rankings: these answers do not say which rows belong to one query. Name it: task.query")
    query_N = answers.queries
    if answers.kind == "classes":
        yes = positive(answers, "a ranking")
        gain_N, score_N = (answers.truth == yes).astype(np.float64), scores(answers, "a ranking")[:, yes]
    else:
        gain_N, score_N = answers.truth.astype(np.float64).round(4), answers.predicted.astype(np.float64)
    order = np.lexsort((gain_N, -score_N, query_N))
    place_N = np.empty(len(order))
    place_N[order] = nth(query_N[order])
    return gain_N, query_N, place_N


def per_query(query_A: Ints, value_A: Floats) -> Floats:
    """Sums over the answers of each query, (Q,)."""
    return np.bincount(query_A, value_A).astype(np.float64)


def nth(query_A: Ints) -> Floats:
    """Which answer of its query each one is, from 1, in the order of places."""
    first = np.searchsorted(query_A, query_A)
    return np.asarray(np.arange(len(query_A)) - first + 1.0, dtype=np.float64)


def recall(query_A: Ints, place_A: Floats, k: int) -> Floats:
    """Share of the answers among the first k."""
    found_Q: Floats = per_query(query_A, (place_A <= k).astype(np.float64)) / np.bincount(query_A)
    return found_Q


def ndcg(query_A: Ints, place_A: Floats, gain_A: Floats, k: int) -> Floats:
    """Gains over log2(place + 1) among the first k, divided by what the best order would reach (Järvelin & Kekäläinen
    2002, with the relevance itself as gain)."""
    found = per_query(query_A, np.where(place_A <= k, gain_A / np.log2(place_A + 1), 0.0))
    best = np.lexsort((-gain_A, query_A))
    ideal_A = np.where(nth(query_A) <= k, gain_A[best] / np.log2(nth(query_A) + 1), 0.0)
    reached_Q: Floats = found / per_query(query_A, ideal_A)
    return reached_Q

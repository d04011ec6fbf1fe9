"""How the candidates of a query are ordered without a cross-encoder: by shared words, or by vectors of each text alone.

A score s of a pair becomes an answer by one line, sigmoid(a + b s) or a + b s, fitted to training rows with b > 0: the
order stays the score's, and metrics of answers have something to read.

Shape letters: N training rows, M rows to predict, H width.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tunesmith.data import Record
from tunesmith.data.coded import coded
from tunesmith.data.roles import text_of
from tunesmith.evaluation.baselines import Guesses
from tunesmith.evaluation.bm25 import bm25
from tunesmith.evaluation.states import alone
from tunesmith.model import Model
from tunesmith.tasks import Array

QUERIES = 64
"""Queries whose scores with all passages are held at a time."""
LEAST = 1e-3
"""Slope of the line, in standard deviations of the score, where the answers would have none or a falling one."""


def by_words(records: Sequence[Record], columns: tuple[str, ...]) -> Array:
    """BM25 of each row's first text as the question and its second as one of all passages of these rows, (N,)."""
    asked, found = (coded(text_of(r, c) for r in records) for c in columns)
    out, passages = np.zeros(len(records)), list(found.names)
    for start in range(0, len(asked.names), QUERIES):
        score_QD = bm25(list(asked.names[start : start + QUERIES]), passages)
        rows = np.flatnonzero((asked.numbers >= start) & (asked.numbers < start + QUERIES))
        out[rows] = score_QD[asked.numbers[rows] - start, found.numbers[rows]]
    return out


def by_vectors(model: Model, records: Sequence[Record], columns: tuple[str, ...]) -> Array:
    """Cosine of both texts' mean states in the untuned base, each read alone, (N,): an untuned bi-encoder."""
    from tunesmith.engine.answers import pooled_states
    from tunesmith.engine.network import Network
    from tunesmith.model import fresh

    net = Network(fresh(model.plan, model.facts, model.base, model.tokenizer), 0, 1)
    trunk, limit = net.auto.get_submodule(model.family.trunk), getattr(model.plan.task, "max_tokens", 256)
    sides = []
    for column in columns:
        texts = coded(text_of(r, column) for r in records)
        encoded = alone(list(texts.names), model.tokenizer, limit)
        states_DH = pooled_states(net, encoded, model.tokenizer.pad_token_id, trunk).astype(np.float64)
        sides.append((states_DH / np.linalg.norm(states_DH, axis=1, keepdims=True).clip(1e-12))[texts.numbers])
    return np.asarray((sides[0] * sides[1]).sum(1))


def answered(score_N: Array, truth_N: Array, new: Mapping[str, Array], positive: int | None) -> dict[str, Guesses]:
    """What a score answers for the rows of each split; `positive` is the class that it speaks for, None for numbers."""
    from sklearn.linear_model import LogisticRegression

    mean, spread = float(score_N.mean()), float(score_N.std()) or 1.0
    s_N1 = ((score_N - mean) / spread)[:, None]
    if positive is None:
        slope, level = max(float((s_N1[:, 0] * truth_N).mean()), LEAST), float(truth_N.mean())
        return {s: Guesses(level + slope * (each - mean) / spread, None) for s, each in new.items()}
    fitted = LogisticRegression(C=1.0).fit(s_N1, truth_N == positive)
    slope, level, found = max(float(fitted.coef_[0, 0]), LEAST), float(fitted.intercept_[0]), {}
    for split, each in new.items():
        yes_M = 1 / (1 + np.exp(-(level + slope * (each - mean) / spread)))
        score_MC = np.empty((len(yes_M), 2))
        score_MC[:, positive], score_MC[:, 1 - positive] = yes_M, 1 - yes_M
        found[split] = Guesses(score_MC.argmax(1), score_MC)
    return found

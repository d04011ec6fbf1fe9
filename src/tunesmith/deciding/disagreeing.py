"""The rows on which two sides disagree, most informative first.

How informative a row is: by how much the difference of the sides changes when the row is left out (its influence; the
jackknife, Efron 1982). Of rows with the same influence, as all are of which one side alone is right, those come first
on which the sides are surer of their different answers.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.deciding.pairs import Pair, masks
from tunesmith.metrics import Answers, Floats, Ints

MOST = 2000
"""Most rows that are left out one by one; of more that disagree, those with the widest gap."""


def disagreeing(pair: Pair) -> list[dict[str, Any]]:
    """[{row, influence, gap}] of rows that the first seeds of both sides answer differently, best first; `row` counts
    from 0; a positive `influence` says that the row raises the difference b minus a."""
    a, b = pair.a[0], pair.b[0]
    gap_N = gaps(a, b)
    rows = np.flatnonzero(differs(a, b))
    rows = rows[np.argsort(-gap_N[rows], kind="stable")][:MOST]
    if not len(rows):
        return []
    whole = float(pair.difference(np.ones((1, pair.rows)))[0])
    found = [
        {"row": int(row), "influence": None if np.isnan(each) else float(each), "gap": float(gap_N[row])}
        for row, each in zip(rows, whole - pair.without(masks(np.arange(pair.rows), rows)), strict=True)
    ]
    return sorted(found, key=lambda each: (-round(abs(each["influence"] or 0.0), 12), -each["gap"], each["row"]))


def differs(a: Answers, b: Answers) -> NDArray[np.bool_]:
    """(N,) rows whose answers are not the same."""
    other_M: NDArray[np.bool_] = np.not_equal(a.predicted, b.predicted).reshape(len(a.predicted), -1).any(axis=1)
    return by_row(a, np.where(other_M, 1.0, 0.0)) > 0


def gaps(a: Answers, b: Answers) -> Floats:
    """(N,) how far apart the sides are on a row: probabilities where there are any, else answers."""
    if a.kind in ("classes", "multilabel", "tags") and a.scores is not None and b.scores is not None:
        away_M: Floats = np.abs(a.scores - b.scores).sum(axis=1) / 2
        return by_row(a, away_M)
    if a.kind in ("numbers", "vectors"):
        return np.asarray(abs(a.predicted.astype(np.float64) - b.predicted.astype(np.float64)))
    return differs(a, b).astype(np.float64)


def by_row(answers: Answers, value_M: Floats) -> Floats:
    """What is said of each answer as a mean of each row: a row of tags has one for each word."""
    if answers.words is None:
        return value_M
    row_M: Ints = np.repeat(np.arange(answers.rows), answers.words.counts)
    return np.bincount(row_M, value_M, answers.rows) / np.maximum(np.bincount(row_M, minlength=answers.rows), 1)

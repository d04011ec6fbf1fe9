"""Labels that are probably wrong, found by a model that never saw the row it judges.

    rows -> 5 folds -> a cheap model, learnt from four of them, answers the fifth -> p (N, C)
    suspect: another label is likelier than the given one; the least likely given label comes first

Confident learning (Northcutt, Jiang and Chuang 2021, https://arxiv.org/abs/1911.00068) says which of these it counts as
wrong. Ranked by p(given) alone, 49 of 50 planted errors stand among the first 100 of banking77, by the margin to the
best label 35: natural confusion of two close labels has a large margin, too. Rows of one text share a fold.

Shape letters: N rows, M rows that can be judged, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunesmith.errors import TunesmithError

FOLDS = 5
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Predict = Callable[[Ints, Ints], Floats]
"""(rows to learn from, rows to answer) -> probabilities (rows to answer, C)."""


@dataclass(frozen=True)
class Suspects:
    """Rows by how little their label is believed."""

    rows: Ints
    """(S,): places of suspects, the least believed first."""
    given: Floats
    """(S,): probability of the label that they have."""
    suggested: Ints
    """(S,): the likeliest label."""
    best: Floats
    """(S,): its probability."""
    counted: NDArray[np.bool_]
    """(S,): whether confident learning counts them as wrong."""
    judged: NDArray[np.bool_]
    """(N,): rows of a class with a second text; nothing can be said of the others."""
    agreed: float
    """Share of judged rows whose label is the likeliest one."""


def find_suspects(truth_N: Ints, texts_N: Ints, predict: Predict, seed: int) -> Suspects:
    """Suspects among rows with these classes. `texts_N`: the first row that has the same text. Raises TunesmithError
    where fewer than two classes can be judged."""
    fold_N = folds(truth_N, texts_N, seed)
    judged_N = _judged(truth_N, fold_N)
    rows = np.flatnonzero(judged_N)
    classes, given_M = np.unique(truth_N[rows], return_inverse=True)
    if len(classes) < 2:
        raise TunesmithError(
            f"data labels: {len(classes)} classes have a second text; labels can be judged between two or more"
        )
    score_MC = out_of_fold(fold_N, predict, rows)[:, classes]
    score_MC /= score_MC.sum(1, keepdims=True)
    own_M = score_MC[np.arange(len(rows)), given_M]
    best_M = score_MC.argmax(1)
    odd = np.flatnonzero(best_M != given_M)
    odd = odd[np.argsort(own_M[odd], kind="stable")]
    wrong_M = confident(given_M, score_MC)
    return Suspects(
        rows[odd], own_M[odd], classes[best_M[odd]], score_MC[odd].max(1), wrong_M[odd], judged_N,
        1 - len(odd) / len(rows),
    )  # fmt: skip


def confident(given_M: Ints, score_MC: Floats) -> NDArray[np.bool_]:
    """(M,): rows that confident learning counts as wrong."""
    try:
        from cleanlab.filter import find_label_issues
    except ImportError as error:
        raise TunesmithError("data labels: cleanlab is not installed. Run: pip install 'tunesmith[data]'") from error
    return np.asarray(find_label_issues(given_M, score_MC, n_jobs=1), dtype=np.bool_)


def out_of_fold(fold_N: Ints, predict: Predict, rows: Ints) -> Floats:
    """(M, C): for each of some rows what a model says that learnt from all other folds."""
    found: Floats | None = None
    for fold in range(FOLDS):
        asked = np.flatnonzero(fold_N[rows] == fold)
        if not len(asked):
            continue
        score = predict(np.flatnonzero(fold_N != fold), rows[asked])
        found = np.zeros((len(rows), score.shape[1])) if found is None else found
        found[asked] = score
    assert found is not None, "there are rows to judge"
    return found


def folds(truth_N: Ints, texts_N: Ints, seed: int) -> Ints:
    """(N,): a fold for each row; every class is spread over all folds, and rows of one text share one."""
    order, dealt = np.random.default_rng(seed), 0
    fold_N = np.zeros(len(truth_N), dtype=np.int64)
    first = np.flatnonzero(texts_N == np.arange(len(texts_N)))
    for label in np.unique(truth_N[first]):
        rows = first[truth_N[first] == label]
        order.shuffle(rows)
        fold_N[rows] = (dealt + np.arange(len(rows))) % FOLDS
        dealt += len(rows)
    return fold_N[texts_N]


def _judged(truth_N: Ints, fold_N: Ints) -> NDArray[np.bool_]:
    """(N,): rows whose class stands in another fold, too: a model that never saw it can say nothing of it."""
    pairs = np.unique(np.stack([truth_N, fold_N]), axis=1)[0]
    return np.asarray(np.bincount(pairs, minlength=int(truth_N.max()) + 1)[truth_N] > 1)

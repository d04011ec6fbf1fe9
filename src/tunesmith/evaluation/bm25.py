"""BM25: passages ranked by the words they share with a query, rare words counting more; no model at all.

    score(q, d) = sum over words of q   idf(w) tf (k1 + 1) / (tf + k1 (1 - b + b |d| / mean |d|))
    idf(w) = ln(1 + (D - n + 1/2) / (n + 1/2))            n: passages that hold w

Robertson & Zaragoza 2009, with the idf of Lucene, which is never negative. Words are runs of letters and digits, of
Chinese single characters and their neighbours in twos; nothing is stemmed or left out.

Shape letters: Q queries, D passages, W words.
"""

import re
from typing import Any

import numpy as np

from tunesmith.tasks import Array

K1, B = 1.2, 0.75
_WORDS = re.compile(r"[\u3400-\u9fff]+|[^\W_]+")


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    found: list[str] = []
    for run in _WORDS.findall(text.lower()):
        if "\u3400" <= run[0] <= "\u9fff":
            found += [*run, *(run[i : i + 2] for i in range(len(run) - 1))]
        else:
            found.append(run)
    return found


def bm25(queries: list[str], passages: list[str]) -> Array:
    """Scores (Q, D) float64."""
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(analyzer=words, dtype=np.float64)
    try:
        times_DW: Any = counter.fit_transform(passages).tocsr()
    except ValueError:  # no passage has a word
        return np.zeros((len(queries), len(passages)))
    holds_W = np.bincount(times_DW.indices, minlength=times_DW.shape[1])
    length_D = np.asarray(times_DW.sum(1)).ravel()
    norm_D = K1 * (1 - B + B * length_D / length_D.mean())
    row_M = np.repeat(np.arange(len(passages)), np.diff(times_DW.indptr))
    times_DW.data *= (K1 + 1) / (times_DW.data + norm_D[row_M])
    idf_W = np.log(1 + (len(passages) - holds_W + 0.5) / (holds_W + 0.5))
    asked_QW: Any = counter.transform(queries).multiply(idf_W).tocsr()
    return np.asarray((asked_QW @ times_DW.T).toarray(), dtype=np.float64)

"""Rows far from all others: another topic, another form, a broken cell.

    score = -log(mean cosine with the ten nearest rows)        vectors: states of a named base, else words and letters
    told  = modified z-score of the score above 3.5            z = 0.6745 (score - median) / MAD

Distance to the k nearest neighbours: Ramaswamy et al. 2000, https://doi.org/10.1145/342009.335437; the modified z-score
and its 3.5: Iglewicz & Hoaglin 1993. It was chosen by measurement: of 20 reviews of films among 3,000 rows of banking77
it finds 18 by words and letters and 20 by states; scikit-learn's LocalOutlierFactor finds none and 3, for it compares
the density of a row with that of its neighbours, and topics of a data set differ in density. Truncated SVD instead of
sparse counts finds none: an odd word is no component. Of normal scores 2 in 10,000 would be told.

Shape letters: N rows, R rows that they are compared with, F features.
"""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from tunesmith.checks import LOOKED_AT, Check, Finding, Seen
from tunesmith.data import Record
from tunesmith.data.drift import OF_EACH, evenly
from tunesmith.data.format import counted, excerpt
from tunesmith.data.overlap import normal
from tunesmith.data.roles import text_of
from tunesmith.data.toxic import concealed

NEAREST, LEAST, LIMIT = 10, 50, 3.5
"""Rows that count as near; rows below which nothing is told; modified z-score."""
AGAINST, AT_ONCE, LETTERS = 5_000, 500, 1_500_000
"""Rows that all are compared with, evenly taken; rows compared at once; characters that are looked at."""
LISTED, NAMED = 50, 3
Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]


class OddRows(Check):
    """`odd_rows`, with score and nearest row. A list to look at: rare is not wrong, and ten odd rows of one kind are a
    kind."""

    name: Literal["odd_rows"] = "odd_rows"
    thorough: ClassVar[bool] = True

    def look(self, seen: Seen) -> Iterable[Finding]:
        if not seen.texts or any(isinstance(r.cells.get(c), list) for r in seen.records[:1] for c in seen.texts):
            return
        some = _some(seen) if seen.states is None else evenly(seen.records, AGAINST)
        texts = [_text(record, seen.texts)[:OF_EACH] for record in some]
        rows = np.flatnonzero([bool(text) for text in texts])
        if len(rows) < LEAST:
            return
        some = [some[row] for row in rows.tolist()]
        by = "words and letters" if seen.states is None else "states of the base"
        vectors_NF = _counts([texts[r] for r in rows.tolist()]) if seen.states is None else _unit(seen.states(some))
        score_N, nearest_N = far(vectors_NF)
        z_N = modified_z(score_N)
        odd = [row for row in np.argsort(-z_N, kind="stable").tolist() if z_N[row] > LIMIT]
        if odd:
            yield _finding(seen, some, odd, z_N, nearest_N, by)


def _some(seen: Seen) -> Sequence[Record]:
    """Evenly taken rows, fewer where texts are long."""
    some = evenly(seen.records, LOOKED_AT)
    first = evenly(some, 1000)
    length = sum(min(OF_EACH, len(_text(record, seen.texts))) for record in first) / max(1, len(first))
    return list(evenly(some, max(LEAST, int(LETTERS / max(1.0, length)))))


def _text(record: Record, columns: tuple[str, ...]) -> str:
    return "\n".join(normal(text_of(record, column)) for column in columns).strip()


def _counts(texts: list[str]) -> Any:
    """(N, F), sparse, of length 1: TF-IDF of words (of Chinese characters) and of letters within words."""
    from scipy import sparse
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(token_pattern=r"[\u2e80-\u9fff]|[^\W\u2e80-\u9fff]+", sublinear_tf=True, lowercase=False)  # noqa: S106
    letters = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, lowercase=False, max_features=50_000
    )
    known = texts[:: max(1, len(texts) // AGAINST)]
    both = [each.fit(known).transform(texts) for each in (words, letters)]
    return sparse.hstack(both, format="csr", dtype=np.float32) / np.float32(np.sqrt(2))


def _unit(states_NH: Floats) -> Floats:
    """(N, H): rows of length 1. They are not centred: that hides what is unlike the mean."""
    return np.asarray(states_NH / np.linalg.norm(states_NH, axis=1, keepdims=True).clip(1e-12), dtype=np.float32)


def far(vectors_NF: Any) -> tuple[Floats, Ints]:
    """((N,) how far each row is from the ten nearest others, (N,) the nearest). Memory: 500 x 5,000 numbers."""
    number = vectors_NF.shape[0]
    known = np.arange(0, number, max(1, -(-number // AGAINST)))
    against_FR = vectors_NF[known].T
    near_N, first_N = np.empty(number), np.empty(number, dtype=np.int64)
    count = min(NEAREST, len(known) - 1)
    for start in range(0, number, AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, number))
        found = vectors_NF[rows] @ against_FR
        cosine_NR = np.asarray(found.toarray() if hasattr(found, "toarray") else found)
        cosine_NR[rows[:, None] == known[None, :]] = -1  # a row is no neighbour of itself
        near_N[rows] = np.partition(cosine_NR, -count, axis=1)[:, -count:].mean(1)
        first_N[rows] = known[cosine_NR.argmax(1)]
    return -np.log(near_N.clip(1e-3)), first_N


def modified_z(score_N: Floats) -> Floats:
    """How far each score is from the median, in median absolute deviations scaled to those of a normal law; 0 where
    more than half of the scores are equal."""
    apart_N = score_N - np.median(score_N)
    spread = np.median(np.abs(apart_N))
    return np.asarray(0.6745 * apart_N / spread if spread > 1e-6 else np.zeros(len(score_N)))


def _finding(
    seen: Seen, some: Sequence[Record], odd: list[int], z_N: Floats, nearest_N: Ints, by: str
) -> Finding:  # fmt: skip
    listed = tuple(
        {"row": some[row].place, "text": concealed(excerpt(_text(some[row], seen.texts))),
         "score": round(float(z_N[row]), 1), "nearest": some[int(nearest_N[row])].place} for row in odd[:LISTED]
    )  # fmt: skip
    first = "; ".join(f"{one['row']} '{one['text']}' (score {one['score']}, nearest {one['nearest']})"
                      for one in listed[:NAMED])  # fmt: skip
    looked = "" if len(some) == len(seen.records) else f", seen in {len(some)} of {len(seen.records)} rows"
    told = counted(len(odd), "row is", "rows are") + f" far from all others by {by}{looked}: {first}. "
    fix = "Look at them: another topic, a broken cell, or a rare case that is worth keeping"
    return Finding("odd_rows", len(odd), seen.input, "info", told + fix, listed)

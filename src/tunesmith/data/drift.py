"""Are two splits alike? Tests of labels, lengths, wording and embeddings, which hold their level.

    labels     a permutation test of the chi-squared statistic; of numbers Kolmogorov and Smirnov's two-sample test
    lengths    Kolmogorov and Smirnov's test, of characters
    wording    a classifier two-sample test: can a linear model on character n-grams say which split a text is from?
    embeddings the same on what a frozen base makes of the texts

The last two are Lopez-Paz & Oquab 2017 (https://arxiv.org/abs/1610.06545), also known as adversarial validation: a
model of one half of the rows scores the other half, so that these scores are exchangeable where the splits are alike,
and the rank test of the AUC is exact; both halves are used, and the smaller of two p-values counts twice. An AUC of
embeddings reads like one of wording and costs a linear model, where a kernel test (MMD) needs all pairs of rows.

What is looked at is bounded, so that a large file costs what a small one does. Letters: N rows, H width.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tunesmith.data._edits import WIDE
from tunesmith.data.overlap import normal
from tunesmith.data.record import Record, Roles
from tunesmith.data.roles import number_of, text_of

ALPHA = 0.001
"""Share of clean, shuffled data sets on which any alarm rings, at most."""
LOOKED_AT, READ, COUNTED = 5_000, 2_000, 100_000
"""Rows of each split whose texts are compared, which a base reads, and whose labels are counted; they are taken evenly
from larger ones."""
LETTERS, OF_EACH = 500_000, 2_000
"""Characters of a split that are compared for wording, and of each text; fewer rows of long texts are taken."""
LEAST = 20
"""Rows of a split below which wording and states are not tested: nothing could be told."""
States = Callable[[Sequence[Record]], NDArray[np.floating[Any]]]
"""What a frozen base makes of rows, (N, H)."""
_DRAWS, _AT_ONCE, _ENOUGH = 20_000, 500, 50
_WORDS = re.compile(rf"[{WIDE}]{{2}}|[^\W{WIDE}]+")


@dataclass(frozen=True)
class Telling:
    """A word that stands in one split more often than in the other."""

    word: str
    train: float
    """Share of training rows that it stands in, 0 to 1."""
    held: float
    """Share of held-out rows."""


@dataclass(frozen=True)
class Drift:
    """One comparison of a held-out split with the training rows."""

    split: str
    what: Literal["labels", "lengths", "wording", "embeddings"]
    measure: Literal["chi-squared", "largest distance", "AUC"]
    """AUC: of telling the splits apart, cross-fitted. Distance: of the shares below a value."""
    value: float
    p: float
    rows: tuple[int, int]
    """Rows compared: of train, of the split."""
    words: tuple[Telling, ...] = ()
    """Of wording: what gives the split away, the most telling first."""


def compared(
    train: Sequence[Record], held: Mapping[str, Sequence[Record]], roles: Roles, seed: int = 0,
    states: States | None = None,
) -> list[Drift]:  # fmt: skip
    """All comparisons that can be made of each held-out split; with `states` those, too."""
    found: list[Drift | None] = []
    known = _Half(train, roles, states)
    for split, rows in held.items():
        other = _Half(rows, roles, states)
        if roles.label is not None and roles.numeric_label:
            found.append(_distance(split, "labels", known.labels, other.labels))
        elif roles.label is not None and roles.words is None:  # a tag for each word makes no class of a row
            found.append(of_labels(split, known.labels, other.labels, seed))
        if roles.texts and not roles.wordless:
            found += [of_lengths(split, known.texts, other.texts), of_wording(split, known.texts, other.texts, seed)]
        if states is not None and min(len(train), len(rows)) >= LEAST:
            found.append(of_states(split, known.read, other.read, seed))
    return [each for each in found if each is not None]


class _Half:
    """What is compared of one split, looked up once."""

    def __init__(self, rows: Sequence[Record], roles: Roles, states: States | None) -> None:
        self.rows, self.roles, self._states = rows, roles, states

    @cached_property
    def labels(self) -> list[Any]:
        """Labels of rows, or numbers; of a set of labels the whole set is one."""
        column = self.roles.label or ""
        if self.roles.numeric_label:
            return [number_of(row, column) for row in evenly(self.rows, COUNTED)]
        return [str(row.cells.get(column)) for row in evenly(self.rows, COUNTED)]

    @cached_property
    def texts(self) -> list[str]:
        """Texts in the form in which they are compared."""
        columns = self.roles.texts
        return ["\n".join(normal(text_of(row, c)) for c in columns) for row in evenly(self.rows, LOOKED_AT)]

    @cached_property
    def read(self) -> NDArray[np.floating[Any]]:
        """(N, H): what the base makes of rows."""
        assert self._states is not None, "asked where a base reads"
        return self._states(evenly(self.rows, READ))


def evenly(rows: Sequence[Any], most: int) -> Sequence[Any]:
    """At most so many rows, evenly taken."""
    return rows[:: max(1, -(-len(rows) // most))]


def alarms(comparisons: Sequence[Drift], alpha: float = ALPHA) -> list[Drift]:
    """Those that differ beyond chance, corrected for their number (Bonferroni): any alarm on splits that are alike
    has a chance of at most alpha, however the comparisons depend on each other."""
    return [each for each in comparisons if each.p * len(comparisons) <= alpha]


def of_labels(split: str, train: Iterable[str], held: Iterable[str], seed: int = 0) -> Drift | None:
    """Whether labels are spread alike; right for small counts, too: the rows' labels are dealt anew 20,000 times, which
    is a draw of the split's counts from an urn; fewer times where fifty were as far apart. None of a single label."""
    first, second = Counter(train), Counter(held)
    both = first + second
    if len(both) < 2 or not first or not second:
        return None
    total_C = np.array([both[name] for name in both], dtype=np.int64)
    counts_C = np.array([second[name] for name in both], dtype=np.int64)
    expected_C = total_C * (counts_C.sum() / total_C.sum())
    rest_C = total_C - expected_C
    scale_C = 1 / expected_C + 1 / rest_C  # both cells of a label miss what is expected by as much

    value = float(((counts_C - expected_C) ** 2 * scale_C).sum())
    chance, reached, drawn = np.random.default_rng(seed), 0, 0
    while drawn < _DRAWS and reached < _ENOUGH:
        dealt_DC = chance.multivariate_hypergeometric(total_C, int(counts_C.sum()), _AT_ONCE, method="marginals")
        reached += int((((dealt_DC - expected_C) ** 2 * scale_C).sum(1) >= value * (1 - 1e-12)).sum())
        drawn += _AT_ONCE
    return Drift(split, "labels", "chi-squared", value, (1 + reached) / (1 + drawn), (first.total(), second.total()))


def of_lengths(split: str, train: Sequence[str], held: Sequence[str]) -> Drift | None:
    """Whether texts are as long. Equal lengths make the test a little blind, never too loud."""
    return _distance(split, "lengths", [len(text) for text in train], [len(text) for text in held])


def _distance(split: str, what: Literal["labels", "lengths"], train: list[Any], held: list[Any]) -> Drift | None:
    from scipy.stats import ks_2samp

    if not train or not held:
        return None
    found = ks_2samp(train, held, method="asymp")
    rows = len(train), len(held)
    return Drift(split, what, "largest distance", float(found.statistic), float(found.pvalue), rows)


def of_wording(split: str, train: Sequence[str], held: Sequence[str], seed: int = 0) -> Drift | None:
    """Whether a linear model can tell the texts of two splits apart. None below 20 rows on either side."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    train, held = _short(train), _short(held)
    if min(len(train), len(held)) < LEAST:
        return None
    texts = np.array([*train, *held], dtype=object)

    def made() -> Any:
        words = TfidfVectorizer(
            analyzer="char", ngram_range=(1, 3), sublinear_tf=True, max_features=50_000, lowercase=False
        )
        return make_pipeline(words, LogisticRegression(solver="liblinear", class_weight="balanced", random_state=0))

    auc, p = _told_apart(texts, (len(train), len(held)), made, seed)
    return Drift(split, "wording", "AUC", auc, p, (len(train), len(held)), _telling(train, held))


def of_states(split: str, train_NH: NDArray[Any], held_MH: NDArray[Any], seed: int = 0) -> Drift:
    """Whether a linear model can tell the states of two splits apart, which sees topics that share no word."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def made() -> Any:
        linear = LogisticRegression(C=0.01, solver="liblinear", class_weight="balanced", random_state=0)
        return make_pipeline(StandardScaler(), linear)

    rows = len(train_NH), len(held_MH)
    return Drift(split, "embeddings", "AUC", *_told_apart(np.concatenate([train_NH, held_MH]), rows, made, seed), rows)


def _short(texts: Sequence[str]) -> Sequence[str]:
    """The beginnings of evenly taken texts, together no longer than `LETTERS`."""
    cut = [text[:OF_EACH] for text in texts]
    return cut[:: max(1, -(-sum(map(len, cut)) // LETTERS))]


def _told_apart(inputs: NDArray[Any], rows: tuple[int, int], made: Callable[[], Any], seed: int) -> tuple[float, float]:
    """(AUC, p) of telling the first rows from the others: models of one half judge the other half."""
    side, chance = np.repeat([0, 1], rows), np.random.default_rng(seed)
    half = np.zeros(len(side), dtype=np.int64)
    for which in (0, 1):  # each half has its part of both splits
        own = chance.permutation(np.flatnonzero(side == which))
        half[own[: len(own) // 2]] = 1
    found = [_judged(made(), inputs, side, half == own) for own in (0, 1)]
    return float(np.mean([value for value, _ in found])), min(1.0, 2 * min(p for _, p in found))


def _judged(model: Any, inputs: NDArray[Any], side: NDArray[Any], learns: NDArray[Any]) -> tuple[float, float]:
    """(AUC, p) on the rows that were not learnt from."""
    from scipy.stats import mannwhitneyu

    model.fit(inputs[learns], side[learns])
    scores, truth = model.decision_function(inputs[~learns]), side[~learns]
    ones, zeros = scores[truth == 1], scores[truth == 0]
    found = mannwhitneyu(ones, zeros, alternative="greater", method="asymptotic")
    return float(found.statistic) / (len(ones) * len(zeros)), float(found.pvalue)


def _telling(train: Sequence[str], held: Sequence[str], most: int = 8) -> tuple[Telling, ...]:
    """Words whose shares of rows differ by most standard errors; of Chinese pairs of characters."""
    counts = [Counter(word for text in texts for word in set(_WORDS.findall(text))) for texts in (train, held)]
    found = []
    for word in counts[0] | counts[1]:
        one, other = counts[0][word] / len(train), counts[1][word] / len(held)
        share = (counts[0][word] + counts[1][word]) / (len(train) + len(held))
        error = (share * (1 - share) * (1 / len(train) + 1 / len(held))) ** 0.5
        if error:
            found.append((abs(one - other) / error, Telling(word, one, other)))
    return tuple(each for _, each in sorted(found, key=lambda pair: (-pair[0], pair[1].word))[:most])

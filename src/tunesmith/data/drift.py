"""Are two splits alike? Tests of labels, lengths and wording, which hold their level on shuffled rows; and columns that
tell of time or of groups on both sides.

    labels     a permutation test of the chi-squared statistic
    lengths    Kolmogorov and Smirnov's two-sample test, of characters
    wording    a classifier two-sample test: can a linear model on character n-grams say which split a text is from?

The last is Lopez-Paz & Oquab 2017 (https://arxiv.org/abs/1610.06545), also known as adversarial validation: a model of
one half of the rows scores the other half, so that these scores are exchangeable where the splits are alike, and the
rank test of the AUC is exact; both halves are used, and the smaller of two p-values counts twice.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np

from tunesmith.data._edits import WIDE
from tunesmith.data.overlap import normal
from tunesmith.data.record import Record, Roles
from tunesmith.data.roles import text_of

ALPHA = 0.001
"""Share of clean, shuffled data sets on which any alarm rings, at most."""
LOOKED_AT = 5_000
"""Rows of each split that are looked at; they are taken evenly from larger ones."""
LEAST = 20
"""Rows of a split below which wording is not tested: nothing could be told."""
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
    what: Literal["labels", "lengths", "wording"]
    value: float
    """Chi-squared of labels, greatest distance of the distributions of lengths, cross-fitted AUC of wording."""
    p: float
    rows: tuple[int, int]
    """Rows compared: of train, of the split."""
    words: tuple[Telling, ...] = ()
    """Of wording: what gives the split away, the most telling first."""


def compared(
    train: Sequence[Record], held: Mapping[str, Sequence[Record]], roles: Roles, seed: int = 0
) -> list[Drift]:  # fmt: skip
    """All comparisons that can be made of each held-out split. Linear in the rows; wording in at most 10,000."""
    found: list[Drift | None] = []
    for split, rows in held.items():
        if roles.label is not None and not roles.numeric_label:
            found.append(of_labels(split, _labels(train, roles.label), _labels(rows, roles.label), seed))
        if roles.texts and not roles.wordless:
            texts = _texts(train, roles), _texts(rows, roles)
            found += [of_lengths(split, *texts), of_wording(split, *texts, seed)]
    return [each for each in found if each is not None]


def alarms(comparisons: Sequence[Drift], alpha: float = ALPHA) -> list[Drift]:
    """Those that differ beyond chance, corrected for their number (Bonferroni): any alarm on splits that are alike
    has a chance of at most alpha, however the comparisons depend on each other."""
    return [each for each in comparisons if each.p * len(comparisons) <= alpha]


def _labels(rows: Sequence[Record], column: str) -> list[str]:
    """Labels of rows; of a set of labels the whole set is one."""
    return [str(row.cells.get(column)) for row in rows]


def _texts(rows: Sequence[Record], roles: Roles) -> list[str]:
    some = rows[:: max(1, -(-len(rows) // LOOKED_AT))]
    return ["\n".join(normal(text_of(row, column)) for column in roles.texts) for row in some]


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
    return Drift(split, "labels", value, (1 + reached) / (1 + drawn), (first.total(), second.total()))


def of_lengths(split: str, train: Sequence[str], held: Sequence[str]) -> Drift | None:
    """Whether texts are as long. Equal lengths make the test a little blind, never too loud."""
    from scipy.stats import ks_2samp

    if not train or not held:
        return None
    found = ks_2samp([len(text) for text in train], [len(text) for text in held], method="asymp")
    return Drift(split, "lengths", float(found.statistic), float(found.pvalue), (len(train), len(held)))


def of_wording(split: str, train: Sequence[str], held: Sequence[str], seed: int = 0) -> Drift | None:
    """Whether a linear model can tell the texts of two splits apart. None below 20 rows on either side."""
    if min(len(train), len(held)) < LEAST:
        return None
    texts, side = [*train, *held], np.repeat([0, 1], [len(train), len(held)])
    half = np.zeros(len(texts), dtype=np.int64)
    chance = np.random.default_rng(seed)
    for which in (0, 1):  # each half has its part of both splits
        rows = chance.permutation(np.flatnonzero(side == which))
        half[rows[: len(rows) // 2]] = 1
    found = [_told_apart(texts, side, half == own) for own in (0, 1)]
    auc, p = float(np.mean([value for value, _ in found])), min(1.0, 2 * min(p for _, p in found))
    return Drift(split, "wording", auc, p, (len(train), len(held)), _telling(train, held))


def _told_apart(texts: Sequence[str], side: Any, learns: Any) -> tuple[float, float]:
    """(AUC, p) on the rows that were not learnt from."""
    from scipy.stats import mannwhitneyu
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    reader = TfidfVectorizer(
        analyzer="char", ngram_range=(1, 3), sublinear_tf=True, max_features=50_000, lowercase=False
    )
    model = LogisticRegression(solver="liblinear", class_weight="balanced", random_state=0)
    model.fit(reader.fit_transform([t for t, own in zip(texts, learns, strict=True) if own]), side[learns])
    scores = model.decision_function(reader.transform([t for t, own in zip(texts, learns, strict=True) if not own]))
    ones, zeros = scores[side[~learns] == 1], scores[side[~learns] == 0]
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


@dataclass(frozen=True)
class ColumnLeak:
    """A column beside text and label that stands on both sides of a split as it would not in use."""

    split: str
    column: str
    what: Literal["time", "group"]
    rows: int
    """time: held-out rows that lie before the last training row; group: those whose value training rows have, too."""
    of: int
    """Held-out rows with a value."""
    shown: tuple[str, ...]
    """time: the last training date and the first held-out one; group: up to five of the values."""


def time_leak(split: str, train: Sequence[Record], held: Sequence[Record], column: str) -> ColumnLeak | None:
    """Held-out rows from before the end of training: in use, a model never knows the future. None where the column
    holds no dates (ISO 8601, or with slashes) or all held-out rows are later."""
    dates = [[day for row in rows if (day := _date(row.cells.get(column)))] for rows in (train, held)]
    if any(len(found) < 0.9 * max(1, len(rows)) for found, rows in zip(dates, (train, held), strict=True)):
        return None
    last, first = max(dates[0]), min(dates[1])
    early = sum(day < last for day in dates[1])
    shown = (last.date().isoformat(), first.date().isoformat())
    return ColumnLeak(split, column, "time", early, len(dates[1]), shown) if early else None


def _date(value: Any) -> datetime | None:
    if not isinstance(value, str) or not re.match(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}", value.strip()):
        return None
    day, *rest = re.split(r"(?=[T ])", value.strip().replace("/", "-"), maxsplit=1)
    try:
        found = datetime.fromisoformat("-".join(part.zfill(2) for part in day.split("-")) + "".join(rest))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def group_leak(split: str, train: Sequence[Record], held: Sequence[Record], column: str) -> ColumnLeak | None:
    """Values of an identifier (machine, customer, document) on both sides. None where none is shared, or where the
    column is no identifier: it names fewer than 10 things, or hardly any of them twice, or each 50 times and more."""
    here, values = (_filled(rows, column) for rows in (train, held))
    counts, known = Counter(here) + Counter(values), set(here)
    repeated = sum(count for count in counts.values() if count > 1)
    if len(counts) < 10 or repeated < 0.2 * counts.total() or counts.total() / len(counts) > 50:
        return None
    both = Counter(value for value in values if value in known)
    shown = tuple(name for name, _ in both.most_common(5))
    return ColumnLeak(split, column, "group", both.total(), len(values), shown) if both else None


def _filled(rows: Sequence[Record], column: str) -> list[str]:
    return [str(value) for row in rows if (value := row.cells.get(column)) not in (None, "")]


def column_leaks(train: Sequence[Record], held: Mapping[str, Sequence[Record]], roles: Roles) -> list[ColumnLeak]:
    """Time and group leaks of all columns that are neither text, label, task nor file."""
    known = {*roles.texts, roles.label, roles.file, roles.task}
    columns = [name for name in (train[0].cells if train else ()) if name not in known]
    found = [look(split, train, rows, name) for split, rows in held.items() for name in columns
             for look in (time_leak, group_leak)]  # fmt: skip
    return [each for each in found if each is not None]

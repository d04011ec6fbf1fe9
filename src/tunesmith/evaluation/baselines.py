"""What a model has to beat: the most frequent answer, linear models on word and character counts, a linear probe.

None is a straw man: settings were chosen by measurement (docs of each function), and each answers with scores, so that
every metric, threshold rule and curve applies. All are deterministic. A class that training rows do not hold gets
probability 0; rows of an unknown class (-1) teach nothing and are left out; one class alone is answered always.

Shape letters: N training rows, M rows to predict, F features, C classes.
"""

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.metrics import Answers, Floats, Ints, Kind

Text = str | Sequence[str]
"""A text, or a pair of texts."""
Truth = NDArray[np.generic]
Predict = Callable[[Any], Floats]
Fit = Callable[[Any, Truth], Predict]

LETTERS = 2000
"""Characters read of each text: about what a model reads in 512 tokens."""


@dataclass(frozen=True)
class Guesses:
    """What a baseline answers for M rows, in the shapes of `Answers`."""

    predicted: NDArray[np.generic]
    scores: Floats | None

    def answers(self, kind: Kind, truth: Truth, labels: tuple[str, ...] = (), positive: int | None = None) -> Answers:
        """The guesses beside the truth, ready to be measured."""
        return Answers(kind, truth, self.predicted, self.scores, labels, positive)


@dataclass(frozen=True)
class _Table:
    """Features and truth to learn from, and features to predict for; sparse or dense."""

    train: Any
    truth: Truth
    new: Any


def majority(truth: Truth, rows: int, kind: Kind, num_classes: int) -> Guesses:
    """The same answer for each row: the most frequent class, the labels that most rows have, the mean number."""
    if kind == "numbers":
        return Guesses(np.full(rows, truth.astype(np.float64).mean()), None)
    if kind == "multilabel":
        share_C = truth.astype(np.float64).mean(0)
    else:
        known = truth.astype(np.int64)
        share_C = np.bincount(known[known >= 0], minlength=num_classes) / max(1, (known >= 0).sum())
    return _guess(np.tile(share_C, (rows, 1)), kind)


def dictionary(words: Sequence[str], tags: Truth, predict: Sequence[str]) -> Guesses:
    """For each word, letter by letter, the tag that it most often has in training (the first met among equals); for a
    word that training never saw, tag 0."""
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for word, tag in zip(words, tags.tolist(), strict=True):
        counts[word][tag] += 1
    usual = {word: found.most_common(1)[0][0] for word, found in counts.items()}
    return Guesses(np.array([usual.get(word, 0) for word in predict], dtype=np.int64), None)


def tfidf(texts: Sequence[Text], truth: Truth, predict: Sequence[Text], kind: Kind, num_classes: int) -> Guesses:
    """TF-IDF of words (1-2) and of characters within words (1-5), with logistic regression or ridge.

    Single characters are in for Chinese: accuracy .869 with and .848 without on thucnews10, and no change on English.
    Pairs of texts are described by what differs, what is shared, and their cosines.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pairs = not isinstance(texts[0], str)
        train, new = _of_pairs(texts, predict, kind) if pairs else _of_texts(texts, predict)
        alpha = 5.0 if pairs else 1.0
        return _linear(_Table(train, truth, new), kind, num_classes, lambda x, y: _fit_sparse(x, y, kind, alpha))


def probe(features_NF: Floats, truth: Truth, predict_MF: Floats, kind: Kind, num_classes: int) -> Guesses:
    """Logistic regression or ridge on given vectors, such as those of the frozen, untuned model."""
    mean_F, spread_F = features_NF.mean(0), features_NF.std(0)
    spread_F = np.where(spread_F > 0, spread_F, 1.0)
    train, new = (features_NF - mean_F) / spread_F, (predict_MF - mean_F) / spread_F
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _linear(_Table(train, truth, new), kind, num_classes, lambda x, y: _fit_dense(x, y, kind))


def compared_words(texts: Sequence[str], new: Sequence[str]) -> Floats:
    """Scores (M, 2) of both answers of new pairs, by TF-IDF of words and characters: see `_compared`. `texts`, `new`:
    chosen and rejected answers in turn, 2 N and 2 M."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _compared(*_of_texts(texts, new), 10.0)


def compared_states(states_SF: Floats, new_SF: Floats) -> Floats:
    """Scores (M, 2) of both answers of new pairs, by vectors of chosen and rejected answers in turn."""
    spread_F = states_SF.std(0)
    spread_F = np.where(spread_F > 0, spread_F, 1.0)
    return _compared(states_SF / spread_F, new_SF / spread_F, 0.03)


def _compared(train_SF: Any, new_SF: Any, strength: float) -> Floats:
    """A linear score w x, learnt as Bradley and Terry have it: P(first better) = sigmoid(w (x_first - x_second)). Each
    pair is learnt from both sides, so that there is nothing in being first."""
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression

    apart = train_SF[0::2] - train_SF[1::2]
    both = np.vstack([apart, -apart]) if isinstance(apart, np.ndarray) else sparse.vstack([apart, -apart])
    model = LogisticRegression(C=strength, fit_intercept=False, max_iter=1000)
    model.fit(both, np.repeat([1, 0], apart.shape[0]))
    return np.asarray(new_SF @ model.coef_[0], dtype=np.float64).reshape(-1, 2)


def _linear(data: _Table, kind: Kind, num_classes: int, fit: Fit) -> Guesses:
    """One model for classes or numbers, one a label for multilabel."""
    if kind == "numbers":
        return Guesses(fit(data.train, data.truth.astype(np.float64))(data.new), None)
    score_MC = np.zeros((data.new.shape[0], num_classes))
    if kind == "multilabel":
        for label, truth_N in enumerate(data.truth.T):
            several = len(np.unique(truth_N)) > 1
            score_MC[:, label] = fit(data.train, truth_N)(data.new)[:, 1] if several else truth_N.mean()
        return _guess(score_MC, kind)
    known = np.flatnonzero(data.truth.astype(np.int64) >= 0)
    present = np.unique(data.truth[known]).astype(np.int64)
    if len(present) > 1:
        share_MC = fit(data.train[known], data.truth[known])(data.new)
        # Single precision is enough to fit, and leaves sums of 1 - 1e-7.
        score_MC[:, present] = share_MC / share_MC.sum(1, keepdims=True, dtype=np.float64)
    else:
        score_MC[:, present] = 1.0
    return _guess(score_MC, kind)


def _guess(score_MC: Floats, kind: Kind) -> Guesses:
    answer: Ints = (score_MC >= 0.5).astype(np.int64) if kind == "multilabel" else score_MC.argmax(1)
    return Guesses(answer, score_MC)


def _fit_sparse(x_NF: Any, y_N: Truth, kind: Kind, alpha: float) -> Predict:
    """Measured on banking77: saga .916 in 5 s, lbfgs .916 in 10 s, liblinear one-vs-rest .913 in 19 s."""
    from sklearn.linear_model import LogisticRegression, Ridge

    if kind == "numbers":
        return Ridge(alpha=alpha, solver="sparse_cg", tol=1e-4).fit(x_NF, y_N).predict  # type: ignore[no-any-return]
    # More passes gained nothing, on 500 rows nor on 10,000; on 43,000 rows three already are enough.
    passes = int(np.clip(150_000 // x_NF.shape[0], 3, 10))
    strength = 3.0 if kind == "multilabel" else 10.0
    model = LogisticRegression(C=strength, solver="saga", max_iter=passes, random_state=0)
    return model.fit(x_NF, y_N).predict_proba  # type: ignore[no-any-return]


def _fit_dense(x_NF: Any, y_N: Truth, kind: Kind) -> Predict:
    from sklearn.linear_model import LogisticRegression, Ridge

    # Standardised vectors have a squared length of F, so the penalty is weighed against that. Accuracy with C 0.01,
    # 0.03, 0.1 and 1 on 256 latent features of banking77: .878, .886, .883, .872.
    if kind == "numbers":
        return Ridge(alpha=float(x_NF.shape[1])).fit(x_NF, y_N).predict  # type: ignore[no-any-return]
    return LogisticRegression(C=0.03, max_iter=100).fit(x_NF, y_N).predict_proba  # type: ignore[no-any-return]


def _of_texts(texts: Sequence[Text], predict: Sequence[Text]) -> tuple[Any, Any]:
    from scipy.sparse import hstack

    old, new = _column(texts, None), _column(predict, None)
    blocks = [_counted(old, [old, new], analyzer, spans) for analyzer, spans in (("word", (1, 2)), ("char_wb", (1, 5)))]
    return hstack([block[0] for block in blocks]).tocsr(), hstack([block[1] for block in blocks]).tocsr()


def _of_pairs(texts: Sequence[Text], predict: Sequence[Text], kind: Kind) -> tuple[Any, Any]:
    """Short and long character spans apart, so that each has its cosine: Spearman .711 and .668 together on stsb_zh."""
    from scipy.sparse import hstack

    sides = [_column(texts, 0), _column(texts, 1), _column(predict, 0), _column(predict, 1)]
    found: tuple[list[Any], list[Any]] = ([], [])
    for analyzer, spans in (("word", (1, 2)), ("char_wb", (1, 2)), ("char_wb", (3, 5))):
        u, v, new_u, new_v = _counted(sides[0] + sides[1], sides, analyzer, spans)
        for side, first, second in ((0, u, v), (1, new_u, new_v)):
            shared = first.multiply(second).tocsr()
            cosine = np.asarray(shared.sum(1)).reshape(-1, 1)
            found[side].extend([abs(first - second), shared, cosine, cosine**2])
            # Which text says what matters for classes (does a follow from b?), and only adds noise to similarity.
            found[side].extend([] if kind == "numbers" else [first, second])
    return hstack(found[0]).tocsr(), hstack(found[1]).tocsr()


def _column(texts: Sequence[Text], side: int | None) -> list[str]:
    return [str(text if side is None else text[side])[:LETTERS] for text in texts]


def _counted(learn: list[str], columns: list[list[str]], analyzer: str, spans: tuple[int, int]) -> list[Any]:
    """TF-IDF of each column of texts, the vocabulary learnt from the training texts."""
    from scipy.sparse import csr_array
    from sklearn.feature_extraction.text import TfidfVectorizer

    # In many rows a term of a single row is noise and memory; in few rows it may be all there is of a rare class.
    least = 1 if len(learn) < 2000 else 2 if len(learn) < 30_000 else 5
    words = r"(?u)\b\w+\b"
    model = TfidfVectorizer(
        analyzer=analyzer, ngram_range=spans, token_pattern=words, min_df=least, max_features=300_000,
        sublinear_tf=True, dtype=np.float32,
    )  # fmt: skip
    try:
        model.fit(learn)
    except ValueError:  # texts without a single word: this block says nothing
        return [csr_array((len(column), 1), dtype=np.float32) for column in columns]
    return [model.transform(column) for column in columns]

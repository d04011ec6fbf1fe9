"""Style: how sure a small classifier is that an answer is written like the answers of the training rows.

mean over rows of P(answer | text), where the classifier (TF-IDF of 1 to 4 characters within words, logistic regression
with equal class weights) learnt to tell answers of training rows from their questions. It has seen no row that is
judged. For data whose answer says what the question says in another style; elsewhere it tells answers from questions by
their subject, and means nothing.

How well it tells the two apart on the judged rows themselves, references from questions, is in `signature`: below about
0.9 read the score as a hint. A classifier can be pleased by one mannerism: read `content_kept` and twenty answers, too.
"""

from typing import Any, ClassVar, Literal

import numpy as np

from tunesmith.errors import TunesmithError
from tunesmith.metrics import Answers, Beside, Floats, Kind, Metric
from tunesmith.metrics._counts import mean
from tunesmith.metrics._texts import once, pairs

MOST = 20_000
"""Training rows that the classifier learns from, at most: the first ones."""
LETTERS = 2000
"""Beginning of a text that is read."""


class Style(Metric):
    """Style: mean probability, by a classifier, that an answer is written as the training rows' answers are."""

    name: Literal["style"] = "style"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    reads_text: ClassVar[bool] = True
    reads_training: ClassVar[bool] = True
    picks: ClassVar[bool] = False
    prefer: ClassVar[str] = (
        "prefer style beside content_kept and bleu where answers put the question into another style"
    )
    source: ClassVar[str] = "transfer strength by a classifier (Shen et al. 2017, https://arxiv.org/abs/1705.09655)"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows. Raises TunesmithError without training rows to learn from."""
        if not len(answers.predicted):
            return np.full(len(weight_RN), np.nan)
        sure_N = once(answers, self.name, lambda: _sure(answers.beside, [said for _, said in pairs(answers)]))
        return mean(weight_RN, sure_N)

    def signature(self, answers: Answers) -> str:
        """Training rows of the classifier, and the share of these rows' references and questions it tells right."""
        wanted = _sure(answers.beside, [references[0] for references, _ in pairs(answers)])
        right = (wanted > 0.5).mean()
        if answers.asked is not None:
            right = (right + (_sure(answers.beside, [str(text) for text in answers.asked]) <= 0.5).mean()) / 2
        return f"char_wb 1-4:logistic:rows {len(_taught(answers.beside))}:accuracy {right:.3f}"


def _taught(beside: Beside) -> Any:
    if not beside.taught:
        raise TunesmithError(
            "style: is judged by a classifier that learns from training rows, and these answers bring none; "
            "give Answers.beside.taught, or take another metric"
        )
    return beside.taught[:MOST]


def _sure(beside: Beside, texts: list[str]) -> Floats:
    """P(answer) of each text, (N,)."""
    if "style" not in beside.prepared:
        beside.prepared["style"] = _fitted(_taught(beside))
    words, model = beside.prepared["style"]
    return np.asarray(model.predict_proba(words.transform([t[:LETTERS] for t in texts]))[:, 1], dtype=np.float64)


def _fitted(taught: Any) -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    questions, answers = zip(*taught, strict=True)
    texts = [text[:LETTERS] for text in (*questions, *answers)]
    words = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True, max_features=200_000, lowercase=False
    )
    try:
        counts = words.fit_transform(texts)
    except ValueError as error:
        raise TunesmithError("style: the training rows hold no text that a style could be learnt from") from error
    model = LogisticRegression(C=10.0, max_iter=1000, class_weight="balanced")
    return words, model.fit(counts, np.repeat([0, 1], len(questions)))

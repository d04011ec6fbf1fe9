"""Metrics that read more than answers and references: the schema, what was asked, and training rows."""

from dataclasses import replace

import numpy as np
import pytest

from tunesmith.errors import TunesmithError
from tunesmith.evaluation.significance import paired_permutation
from tunesmith.metrics import METRICS, Answers, Beside
from tunesmith.metrics.style import Style

ONE = np.ones((1, 4))
PLAIN = ["the pump leaks oil", "we must stop the fan", "the belt is worn out", "a motor runs hot"]
LOUD = ["THE PUMP LEAKS OIL!!", "WE MUST STOP THE FAN!!", "THE BELT IS WORN OUT!!", "A MOTOR RUNS HOT!!"]
WORDS = ["night", "seal", "valve", "noise", "water", "steam", "crack", "filter", "gear", "shaft"]
TAUGHT = [(f"the {w} failed in {i}", f"THE {w.upper()} FAILED IN {i}!!") for i in range(3) for w in WORDS]


def of(said: list[str], references: list[str] = LOUD) -> Answers:
    made = Answers.of_texts([(r,) for r in references], said)
    return replace(made, asked=np.array(PLAIN, dtype=object), beside=Beside({"type": "array", "maxItems": 2}, TAUGHT))


def test_style_and_content_pull_in_two_directions() -> None:
    """Repeating the question keeps all and has no style; any loud sentence has style and keeps nothing."""
    style, kept = METRICS.make("style"), METRICS.make("content_kept")
    asked, other = of(PLAIN), of(["NOBODY KNOWS WHY!!"] * 4)
    assert style.measure(asked, ONE)[0] < 0.2
    assert style.measure(of(LOUD), ONE)[0] > 0.8
    assert style.measure(other, ONE)[0] > 0.6
    assert kept.measure(asked, ONE)[0] == pytest.approx(100)
    assert kept.measure(other, ONE)[0] < 15


def test_style_tells_how_far_it_can_be_trusted() -> None:
    """Measured on rows that the classifier has not seen; where references are written as questions are, by chance."""
    assert METRICS.make("style").signature(of(LOUD)) == "char_wb 1-4:logistic:rows 30:accuracy 1.000"
    assert METRICS.make("style").signature(of(LOUD, PLAIN)) == "char_wb 1-4:logistic:rows 30:accuracy 0.500"


def test_the_classifier_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices and other models' answers share it; resamples do not ask it again."""
    from sklearn.linear_model import LogisticRegression

    fits, fit = [], LogisticRegression.fit

    def counted(self: LogisticRegression, *given: object) -> object:
        fits.append(1)
        return fit(self, *given)

    monkeypatch.setattr(LogisticRegression, "fit", counted)
    mine = of(LOUD)
    theirs = replace(mine, predicted=np.array(PLAIN, dtype=object))
    for answers in (mine, mine.take(np.array([0, 2])), theirs):
        Style().measure(answers, np.ones((3, len(answers.truth))))
    assert len(fits) == 1


def test_questions_go_with_their_rows() -> None:
    """Slices take them along, and so does a permutation test, which puts two models' rows below each other."""
    kept = METRICS.make("content_kept")
    mixed = of([PLAIN[0], PLAIN[1], "x", "y"])
    assert kept.measure(mixed.take(np.array([True, True, False, False])), np.ones((1, 2)))[0] == pytest.approx(100)
    whole = kept.measure(mixed, np.array([[1.0, 1, 0, 0]]))[0]
    assert whole == pytest.approx(100)
    found = paired_permutation(METRICS.make("style"), of(LOUD), of(PLAIN))
    assert found.value > 0.6 and found.p == pytest.approx(2 / 16)


def test_schema_valid_counts_what_validates() -> None:
    """JSON of the right shape; not JSON of another, nor no JSON."""
    metric = METRICS.make("schema_valid")
    answers = of(["[1, 2]", "[1, 2, 3]", "[NaN]", "[1"])
    assert metric.measure(answers, np.array([[1.0, 1, 1, 1], [2, 1, 0, 0]])).tolist() == [1 / 4, 2 / 3]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("schema_valid", "bring no schema"), ("content_kept", "do not say what was asked"),
        ("style", "these answers bring none; give Answers.beside.taught"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(name: str, words: str) -> None:
    """With what to give."""
    with pytest.raises(TunesmithError, match=words):
        METRICS.make(name).measure(Answers.of_texts([("a",)] * 4, ["b"] * 4), ONE)


def test_training_rows_without_text_teach_no_style() -> None:
    """Said, and not a number."""
    answers = replace(of(LOUD), beside=Beside(None, [("", " ")] * 3))
    with pytest.raises(TunesmithError, match="hold no text that a style could be learnt from"):
        METRICS.make("style").measure(answers, ONE)

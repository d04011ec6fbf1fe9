"""Word and character error rates: equal to counting by hand, to a plain table of edits, and to jiwer where it is."""

import random

import numpy as np
import pytest

from tunesmith.metrics import METRICS, Answers

SAID = [
    ("the cat sat", "the cat sat"), ("the cat sat", "the hat sat down"), ("the cat sat", ""), ("a b c d", "b c d"),
    ("水泵漏油", "水泵露油"), ("  spaced   out ", "spaced out"),
]  # fmt: skip


def measured(name: str, pairs: list[tuple[str, str]]) -> float:
    answers = Answers.of_texts([(wanted,) for wanted, _ in pairs], [said for _, said in pairs])
    return float(METRICS.make(name).measure(answers, np.ones((1, len(pairs))))[0])


def table(first: list[str], second: list[str]) -> int:
    """Levenshtein's table, written out."""
    rows = [list(range(len(second) + 1))]
    for i, a in enumerate(first, 1):
        rows.append([i])
        for j, b in enumerate(second, 1):
            rows[i].append(min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (a != b)))
    return rows[-1][-1]


def test_by_hand() -> None:
    # edits of words: 0, 2 (one replaced, one inserted), 3, 1, 1, 0; words: 3, 3, 3, 4, 1, 2
    assert measured("wer", SAID) == pytest.approx(7 / 16)
    assert measured("cer", [("水泵漏油", "水泵露油")]) == 0.25
    assert measured("cer", [("abc", "abcdefg")]) == pytest.approx(4 / 3)
    assert measured("cer", [("a  b", "a b")]) == 0.0
    assert measured("wer", [("", "")]) != measured("wer", [("", "")]), "nothing to say is undefined"


def test_the_nearest_reference_counts_and_rows_are_weighed() -> None:
    answers = Answers.of_texts([("a b", "x y z"), ("c d",)], ["x y", "c"])
    values = METRICS.make("wer").measure(answers, np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 1.0]]))
    assert values == pytest.approx([2 / 5, 1 / 3, 1 / 2])


def test_any_texts_as_the_table_has_them() -> None:
    rng = random.Random(0)
    for _ in range(50):
        pairs = [(_words(rng, 1), _words(rng, 0)) for _ in range(4)]
        words = [(w.split(), s.split()) for w, s in pairs]
        assert measured("wer", pairs) == pytest.approx(sum(table(*p) for p in words) / sum(len(w) for w, _ in words))
        letters = [(list(w), list(s)) for w, s in pairs]
        assert measured("cer", pairs) == pytest.approx(
            sum(table(*p) for p in letters) / sum(len(w) for w, _ in letters)
        )


def _words(rng: random.Random, least: int) -> str:
    return " ".join(rng.choices("abcd水", k=rng.randint(least, 9)))


def test_as_jiwer_says() -> None:
    jiwer = pytest.importorskip("jiwer")
    wanted, said = [w for w, _ in SAID], [s for _, s in SAID]
    assert measured("wer", SAID) == pytest.approx(jiwer.wer(wanted, said))
    tidy = [(" ".join(w.split()), s) for w, s in SAID]
    assert measured("cer", tidy) == pytest.approx(jiwer.cer([w for w, _ in tidy], said))

"""ROUGE equals rouge-score, SQuAD's measures the official script's formulas, edit similarity the plain table."""

import collections
import csv
import random
import re
import string
from pathlib import Path

import numpy as np
import pytest
from rouge_score import rouge_scorer

from corpora import ODD, corpus
from tunesmith.metrics import METRICS, Answers
from tunesmith.metrics._language import units
from tunesmith.metrics.edit_similarity import distance

NAMES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
CLOSE = {"rtol": 0, "atol": 1e-9}


def values(name: str, references: list[tuple[str, ...]], said: list[str]) -> np.ndarray:
    """The metric of each row alone."""
    return METRICS.make(name).measure(Answers.of_texts(references, said), np.eye(len(said)))


def rouge(references: list[tuple[str, ...]], said: list[str], tokenizer: object = None) -> dict[str, list[float]]:
    """rouge-score's F1 of each row, best of its references."""
    scorer = rouge_scorer.RougeScorer(NAMES, use_stemmer=False, tokenizer=tokenizer)
    found = [scorer.score_multi(list(refs), text) for refs, text in zip(references, said, strict=True)]
    return {name: [each[name].fmeasure for each in found] for name in NAMES}


def long_texts(seed: int) -> tuple[list[tuple[str, ...]], list[str]]:
    """Summaries of several lines with few words, so that subsequences tie and repeat."""
    rng = random.Random(seed)

    def text() -> str:
        return "\n".join(" ".join(rng.choices("abcde", k=rng.randint(0, 9))) for _ in range(rng.randint(1, 5)))

    return [tuple(text() for _ in range(rng.randint(1, 3))) for _ in range(300)], [text() for _ in range(300)]


@pytest.mark.parametrize("made", ["english", "lines", "odd"])
def test_rouge_equals_rouge_score(made: str) -> None:
    """900 random rows, 300 of several lines, and each odd text against each."""
    if made == "english":
        references, said = corpus(1, 900, chinese=False)
        said = [text if text.isascii() else "" for text in said]
        references = [tuple(t if t.isascii() or "£" in t else "" for t in refs) for refs in references]
    elif made == "lines":
        references, said = long_texts(2)
    else:
        plain = [text for text in ODD if text != "字"]
        references, said = [(a,) for a in plain for _ in plain], plain * len(plain)
    wanted = rouge(references, said)
    for name in NAMES:
        np.testing.assert_allclose(values(name, references, said), wanted[name], **CLOSE, err_msg=name)


def test_rouge_of_real_rows(real_data: Path) -> None:
    """500 references of E2E against the next ones, accents and pounds included."""
    file = real_data / "e2e_nlg" / "testset_w_refs.csv"
    if not file.is_file():
        pytest.skip("the public data set e2e_nlg is not here")
    with file.open(encoding="utf-8", newline="") as stream:
        texts = [row["ref"] for row in csv.DictReader(stream)][:1000]
    references, said = [(a, b) for a, b in zip(texts[::2], texts[1::2], strict=True)][1:], texts[:-2:2]
    wanted = rouge(references, said)
    for name in NAMES:
        np.testing.assert_allclose(values(name, references, said), wanted[name], **CLOSE, err_msg=name)


def test_latin_text_with_accents_is_cut_as_rouge_score_cuts_it() -> None:
    """Their numbers, though "naïve" is two tokens in them."""
    references, said = [("Das naïve Café für Übermut",)], ["das naive cafe für mut"]
    wanted = rouge(references, said)
    for name in NAMES:
        np.testing.assert_allclose(values(name, references, said), wanted[name], **CLOSE)


class Characters:
    """The tokenizer that rouge-score needs for Chinese: characters, and words of each other writing."""

    def tokenize(self, text: str) -> list[str]:
        return units(re.sub("([２０]+)", r" \1 ", text.lower()))


def test_rouge_of_chinese_is_that_of_characters() -> None:
    """rouge-score itself says 0; given characters as tokens, it says what we say."""
    references, said = corpus(3, 400, chinese=True)
    wanted = rouge(references, said, Characters())
    for name in NAMES:
        np.testing.assert_allclose(values(name, references, said), wanted[name], **CLOSE, err_msg=name)
    assert rouge([("今天天气很好",)], ["今天天气很好"])["rougeL"] == [0.0]
    assert values("rougeL", [("今天天气很好",), ("Привет, мир",)], ["今天天气很好", "привет"]) == pytest.approx(
        [1, 2 / 3]
    )


# SQuAD


def squad_normalised(text: str) -> str:
    """normalize_answer of the official script of SQuAD 1.1, written from its description."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def squad_f1(said: str, reference: str) -> float:
    """f1_score of the same script, by precision and recall."""
    mine, theirs = squad_normalised(said).split(), squad_normalised(reference).split()
    same = sum((collections.Counter(mine) & collections.Counter(theirs)).values())
    if not same:
        return 0.0
    precision, recall = same / len(mine), same / len(theirs)
    return 2 * precision * recall / (precision + recall)


def test_english_is_squads() -> None:
    """All random rows but those whose reference normalises to nothing, for which we have a rule of our own."""
    references, said = corpus(4, 900, chinese=False)
    kept = [i for i, refs in enumerate(references) if all(squad_normalised(ref) for ref in refs) and "字" not in refs]
    assert len(kept) > 500
    references, said = [references[i] for i in kept], [said[i] for i in kept]
    rows = list(zip(references, said, strict=True))
    exact = [max(float(squad_normalised(text) == squad_normalised(r)) for r in refs) for refs, text in rows]
    assert 0.02 < np.mean(exact) < 0.98
    np.testing.assert_allclose(values("exact_match", references, said), exact, **CLOSE)
    f1 = [max(squad_f1(text, r) for r in refs) for refs, text in rows]
    np.testing.assert_allclose(values("token_f1", references, said), f1, **CLOSE)


# edit distance


def table(first: str, second: str) -> int:
    """Levenshtein distance as it is taught."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        before, row[0] = row[0], i
        for j, b in enumerate(second, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


def test_distance_is_levenshteins() -> None:
    """2,000 random pairs, some longer than a machine word, and each odd text with each."""
    rng = random.Random(5)
    pairs = [("".join(rng.choices("ab字😀", k=rng.randint(0, 12))), "".join(rng.choices("ab字c", k=rng.randint(0, 12))))
             for _ in range(2000)]  # fmt: skip
    pairs += [
        ("".join(rng.choices("abc", k=150)), "".join(rng.choices("abc", k=rng.randint(60, 200)))) for _ in range(5)
    ]
    pairs += [(a, b) for a in ODD for b in ODD]
    for first, second in pairs:
        assert distance(first, second) == table(first, second), (first, second)

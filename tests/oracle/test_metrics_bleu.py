"""bleu, chrf, ter and length_ratio equal sacreBLEU's corpus scores, rows repeated as often as the weights say."""

import csv
import random
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF, TER

from corpora import ODD, corpus
from tunesmith.metrics import METRICS, Answers

CLOSE = {"rtol": 0, "atol": 1e-9}
CASES = pytest.mark.parametrize("cases", [25, pytest.param(400, marks=pytest.mark.slow)])
LANGUAGES = pytest.mark.parametrize("chinese", [False, True], ids=["english", "chinese"])


def theirs(name: str, chinese: bool) -> Any:
    """sacreBLEU's metric as its users call it for the language."""
    if name in ("bleu", "length_ratio"):
        return BLEU(tokenize="zh" if chinese else "13a")
    if name == "chrf":
        return CHRF()
    return TER(normalized=True, asian_support=True) if chinese else TER()


def expected(name: str, references: list[tuple[str, ...]], answers: list[str], *, chinese: bool) -> float:
    """The corpus score."""
    streams = [list(column) for column in zip_longest(*references)]
    found = theirs(name, chinese).corpus_score(answers, streams)
    return float(found.ratio if name == "length_ratio" else found.score)


def ours(name: str, answers: Answers, weights: np.ndarray) -> np.ndarray:
    return METRICS.make(name).measure(answers, weights)


@CASES
@LANGUAGES
@pytest.mark.parametrize("name", ["bleu", "chrf", "ter", "length_ratio"])
def test_random_texts_with_random_weights(name: str, chinese: bool, cases: int) -> None:
    """Plain, and with each row zero to three times; one to three references, odd texts among them."""
    for seed in range(cases):
        rng = np.random.default_rng(seed)
        # Three plain rows, so that the writing of all references is what the test says.
        plain = ("今天天气很好，我们去公园散步。", "去公园") if chinese else ("the cat sat on the mat today", "a cat")
        references, said = corpus(seed, int(rng.integers(1, 12)), chinese=chinese)
        references, said = [(plain[0],)] * 3 + references, [plain[0], plain[1], "", *said]
        answers = Answers.of_texts(references, said)
        weights = np.vstack([np.ones(len(said)), rng.integers(0, 4, (3, len(said)))])
        got = ours(name, answers, weights)
        for value, times in zip(got, weights.astype(int), strict=True):
            rows = np.repeat(np.arange(len(said)), times)
            if not len(rows):
                assert np.isnan(value)
                continue
            wanted = expected(name, [references[i] for i in rows], [said[i] for i in rows], chinese=chinese)
            if name == "length_ratio" and np.isnan(value):  # sacreBLEU calls a ratio to nothing 0
                assert wanted == 0
                continue
            np.testing.assert_allclose(value, wanted, **CLOSE, err_msg=f"{name} {seed}")


@LANGUAGES
@pytest.mark.parametrize("name", ["bleu", "chrf", "ter"])
def test_each_odd_text_against_each(name: str, chinese: bool) -> None:
    """Corpora of one row, the row being odd, with rows of weight 0 that say what language it is."""
    texts = [*ODD, "今天天气很好，我们去公园。" if chinese else "it is a fine day, we go to the park"]
    for reference in texts:
        answers = Answers.of_texts([(reference,)] * len(texts) + [(texts[-1],)] * 40, texts + [""] * 40)
        got = ours(name, answers, np.eye(len(texts), len(texts) + 40))
        wanted = [expected(name, [(reference,)], [said], chinese=chinese) for said in texts]
        np.testing.assert_allclose(got, wanted, **CLOSE, err_msg=repr(reference))


def rows_of_e2e(file: Path) -> list[tuple[str, ...]]:
    """The references of each meaning, in the order of the file."""
    grouped: dict[str, list[str]] = {}
    with file.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            grouped.setdefault(row["mr"], []).append(row["ref"])
    return [tuple(refs) for refs in grouped.values()]


@pytest.mark.parametrize("name", ["bleu", "chrf", "ter"])
def test_real_rows_with_many_references(name: str, real_data: Path) -> None:
    """300 meanings of E2E (fewer for chrf and ter, which are slow): one reference as the answer to the others."""
    file = real_data / "e2e_nlg" / "testset_w_refs.csv"
    if not file.is_file():
        pytest.skip("the public data set e2e_nlg is not here")
    rows = [refs for refs in rows_of_e2e(file) if len(refs) > 1][: {"bleu": 300, "chrf": 150, "ter": 12}[name]]
    references, said = [refs[1:] for refs in rows], [refs[0] for refs in rows]
    assert max(map(len, references)) > 5
    weights = np.random.default_rng(0).integers(0, 3, (2, len(rows)))
    got = ours(name, Answers.of_texts(references, said), np.vstack([np.ones(len(rows)), weights[:1]]))
    for value, times in zip(got, (np.ones(len(rows), dtype=int), weights[0]), strict=True):
        picked = np.repeat(np.arange(len(rows)), times)
        wanted = expected(name, [references[i] for i in picked], [said[i] for i in picked], chinese=False)
        np.testing.assert_allclose(value, wanted, **CLOSE)


def test_real_chinese(real_data: Path) -> None:
    """300 pairs of similar sentences of STS-B in Chinese."""
    file = real_data / "stsb_zh" / "cnsd-sts-test.txt"
    if not file.is_file():
        pytest.skip("the public data set stsb_zh is not here")
    pairs = [line.split("||")[1:3] for line in file.read_text(encoding="utf-8").splitlines()[:300]]
    answers = Answers.of_texts([(first,) for first, _ in pairs], [second for _, second in pairs])
    for name in ("bleu", "chrf", "ter"):
        wanted = expected(name, [(first,) for first, _ in pairs], [second for _, second in pairs], chinese=True)
        np.testing.assert_allclose(ours(name, answers, np.ones((1, len(pairs))))[0], wanted, **CLOSE)


def test_signatures_are_sacrebleus() -> None:
    """The language of the references picks the tokenizer, and the signature says so."""
    for text, chinese in (("it is a fine day in town", False), ("今天天气很好", True)):
        for references in ([(text,), (text,)], [(text,), (text, text)]):
            for name in ("bleu", "chrf", "ter"):
                metric = theirs(name, chinese)
                metric.corpus_score([text, text], [list(column) for column in zip_longest(*references)])
                got = METRICS.make(name).signature(Answers.of_texts(references, [text, text]))
                assert got == str(metric.get_signature())
    japanese = Answers.of_texts([("今日はとてもいい天気ですね",)], ["今日はいい天気ですね"])
    assert "tok:char" in METRICS.make("bleu").signature(japanese)
    assert METRICS.make("rougeL").signature(japanese) == ""


def test_a_word_of_chinese_does_not_change_english() -> None:
    """And half a corpus of Chinese is not lost: with 13a each sentence would be one token."""
    rng = random.Random(0)
    words = "it is a fine day in town , we go out".split(" ")  # noqa: SIM905
    english = [" ".join(rng.choices(words, k=8)) for _ in range(20)]
    few = Answers.of_texts([(text,) for text in [*english, "今天"]], [*english, "今天"])
    assert "tok:13a" in METRICS.make("bleu").signature(few)
    half = [*english, *["今天天气很好我们去散步"] * 5]
    assert "tok:zh" in METRICS.make("bleu").signature(Answers.of_texts([(text,) for text in half], half))

"""Metrics of text where it is awkward: nothing said, one word, emoji, punctuation, broken JSON; and what is cached."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from corpora import ODD
from tunesmith.errors import TunesmithError
from tunesmith.metrics import METRICS, Answers, Metric
from tunesmith.metrics._json import fields, parsed
from tunesmith.metrics.python_parses import parses

TEXT: list[Metric] = [METRICS.make(name) for name in METRICS.names() if "text" in METRICS.find(name).kinds]
BESIDE = ("content_kept", "schema_valid", "style")
"""Read more than answers and references: test_beside.py."""
READERS = [m for m in TEXT if m.reads_text and m.name not in ("json_field_f1", *BESIDE)]


def one(name: str, reference: str | tuple[str, ...], said: str) -> float:
    """The metric of a single row."""
    references = (reference,) if isinstance(reference, str) else reference
    return float(METRICS.make(name).measure(Answers.of_texts([references], [said]), np.ones((1, 1)))[0])


RATIOS = ("ter", "length_ratio", "wer", "cer")
"""Without a bound above; undefined where nothing was to be said."""


@pytest.mark.parametrize("metric", READERS, ids=lambda metric: metric.name)
def test_odd_texts_have_values_within_bounds(metric: Metric) -> None:
    """Each odd text against each: no warning, no NaN but for a share of nothing, nothing below 0 or above the best."""
    top = 100.0 if metric.name in ("bleu", "chrf") else np.inf if metric.name in RATIOS else 1.0
    for reference in ODD:
        answers = Answers.of_texts([(reference,)] * len(ODD), ODD)
        value = metric.measure(answers, np.eye(len(ODD)))
        defined = value[~np.isnan(value)]
        assert ((defined >= 0) & (defined <= top + 1e-12)).all()
        assert len(defined) == len(value) or metric.name in (*RATIOS, "distinct_1", "distinct_2")


@pytest.mark.parametrize("metric", [m for m in TEXT if not m.reads_text], ids=lambda metric: metric.name)
def test_likelihoods_alone_are_enough(metric: Metric) -> None:
    """Nothing was generated; two rows of 2 and 6 tokens."""
    scores = np.array([[2 * np.log(4), 2, 1, 4], [6 * np.log(2), 6, 3, 8]])
    answers = Answers.of_texts([("ab",), ("abcdef",)], ["", ""], scores)
    expected = {
        "nll": 10 * np.log(2) / 8, "perplexity": 2 ** (10 / 8), "bits_per_byte": 10 / 12, "token_accuracy": 4 / 8,
    }  # fmt: skip
    assert metric.measure(answers, np.ones((1, 2)))[0] == pytest.approx(expected[metric.name], abs=1e-12)
    with pytest.raises(TunesmithError, match=f"{metric.name}: needs the likelihood of the reference's tokens"):
        metric.measure(Answers.of_texts([("ab",)], ["ab"]), np.ones((1, 1)))


def test_perplexity_beyond_all_floats_is_infinite() -> None:
    """Without a warning: a diverged model is no fault of the metric."""
    answers = Answers.of_texts([("a",)], [""], np.array([[1e6, 1.0, 0, 1]]))
    assert METRICS.make("perplexity").measure(answers, np.ones((1, 1)))[0] == np.inf


@pytest.mark.parametrize(
    ("reference", "said", "exact", "f1"),
    [
        ("The cat.", "a CAT!", 1, 1),
        ("Paris, France", "France Paris", 0, 1),
        ("A", "a", 1, 1),
        ("A", "", 0, 0),
        ("A", "The", 0, 0),
        ("?", "?", 1, 1),
        ("", "", 1, 1),
        ("", "word", 0, 0),
        ("word", "", 0, 0),
        ("😀", "😀", 1, 1),
        ("😀", "", 0, 0),
        ("😀a😀", "😀 😀", 1, 1),
        ("北京。", "北京", 1, 1),
        ("北京，上海", "上海、北京", 0, 1),
        ("“好的”……", "好的", 1, 1),
        ("选 A", "选", 0, 2 / 3),
        ("选 A", "选a", 1, 1),
        ("使用LoRA微调", "使用 LoRA 微调！", 1, 1),
        ("用了LoRA", "用了", 0, 4 / 5),
        ("今日は", "今日も", 0, 2 / 3),
        (("red", "dark red"), "Dark red", 1, 1),
    ],
)
def test_short_answers(reference: str | tuple[str, ...], said: str, exact: float, f1: float) -> None:
    assert one("exact_match", reference, said) == exact
    assert one("token_f1", reference, said) == pytest.approx(f1)


def test_a_row_is_chinese_by_its_references() -> None:
    """Rows of one data set are normalised each by its own language."""
    answers = Answers.of_texts([("The cat",), ("选 A",)], ["cat", "选"])
    assert METRICS.make("exact_match").measure(answers, np.eye(2)).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ('{"a": 1}', True), (" [1, 2.5e3, null]\n", True), ("42", True), ('"a"', True), ("null", True), ("", False),
        ("{'a': 1}", False), ("NaN", False), ("[Infinity]", False), ('```json\n{"a": 1}\n```', False),
        ('{"a": 1,}', False), ('{"a": 1} ok', False), ("[" * 100_000, False), ("9" * 5000, False),
    ],
)  # fmt: skip
def test_json(text: str, valid: bool) -> None:
    """RFC 8259 and nothing else, and no crash."""
    assert (parsed(text) is not None) == valid
    assert one("valid_json", "x", text) == valid


def test_fields() -> None:
    """Paths are not spelled, so that no key can look like a path; types are kept apart, numbers not."""
    assert fields({"a": [{"b": 1}, []], "a.0.b": True}) == {
        (("a", 0, "b"), "number", 1): 1, (("a", 1), "array", None): 1, (("a.0.b",), "boolean", True): 1,
    }  # fmt: skip
    assert fields({"a": 1}) == fields({"a": 1.0}) != fields({"a": True})
    assert fields({}) != fields([])
    depth = 900
    assert len(fields(json.loads("[" * depth + "1" + "]" * depth))) == 1


def test_json_fields_are_pooled_over_rows() -> None:
    """2 + 0 + 1 fields of 3 + 3 + 1 wanted and 2 + 0 + 2 answered; the best reference of a row; key order is free."""
    references = [('{"a": 1, "b": "x", "c": null}',), ("[1, 2, 3]",), ("[7]", '{"z": 1}')]
    said = ['{"b": "x", "a": 1.0}', "one, two, three", '{"z": 1, "y": 2}']
    answers = Answers.of_texts(references, said)
    metric = METRICS.make("json_field_f1")
    assert metric.measure(answers, np.ones((1, 3)))[0] == pytest.approx(2 * 3 / (7 + 4))
    assert metric.measure(answers, np.eye(3)).tolist() == pytest.approx([4 / 5, 0, 2 / 3])
    with pytest.raises(TunesmithError, match=r"the reference of row 2 is no JSON: 'two'\. Repair the data"):
        metric.measure(Answers.of_texts([("1",), ("two",)], ["1", "2"]), np.ones((1, 2)))


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("x = 1", True), ("def f():\n    return '\\d'\n", True), ("x is 1", True), ("x =", False), ("", False),
        ("# nothing\n", False), ("  indented", False), ("print('a", False), ("a\0b", False), ("(" * 100_000, False),
        ("```python\nx\n```", False), ("变量 = '值'", True),
    ],
)  # fmt: skip
def test_python(text: str, good: bool) -> None:
    """No crash and no warning, whatever is said."""
    assert parses(text) == good


def test_distinct_counts_over_all_answers() -> None:
    """a b a | a b | 好 好: 3 of 7 tokens, 3 of 4 pairs are different; a row of weight 0 adds none."""
    answers = Answers.of_texts([("x",)] * 3, ["a b a", "A, b!", "好好"])
    weights = np.array([[1.0, 1, 1], [1, 0, 0], [0, 2, 0], [0, 0, 0]])
    first = METRICS.make("distinct_1").measure(answers, weights)
    np.testing.assert_allclose(first, [3 / 7, 2 / 3, 2 / 4, np.nan])
    second = METRICS.make("distinct_2").measure(answers, weights)
    np.testing.assert_allclose(second, [3 / 4, 2 / 2, 1 / 2, np.nan])


def test_work_on_rows_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interval measures many times: sacreBLEU and the row's own work are asked once for the same answers."""
    from sacrebleu.metrics.bleu import BLEU

    from tunesmith.metrics import exact_match

    asked = {"bleu": 0, "exact": 0}
    count, compare = BLEU._compute_segment_statistics, exact_match.exact

    def counted(self: BLEU, *given: object) -> object:
        asked["bleu"] += 1
        return count(self, *given)

    def compared(said: str, references: tuple[str, ...]) -> list[float]:
        asked["exact"] += 1
        return compare(said, references)

    monkeypatch.setattr(BLEU, "_compute_segment_statistics", counted)
    monkeypatch.setattr(exact_match, "exact", compared)
    answers = Answers.of_texts([("a b c d e",)] * 4, ["a b c d f"] * 4)
    for _ in range(5):
        for name in ("bleu", "length_ratio", "exact_match"):
            METRICS.make(name).measure(answers, np.ones((3, 4)))
    assert asked == {"bleu": 4, "exact": 4}
    assert not answers.take(np.array([0])).prepared


@pytest.mark.parametrize(
    ("truth", "said", "message"),
    [
        ([(), ("a",)], ["a", "b"], "row 1: truth is an empty tuple: there is no reference to compare with"),
        ([("a",), ("b", None)], ["a", "b"], r"row 2: truth holds something that is no string: \('b', None\)"),
        ([("a",), ("b",)], ["a", 7], "row 2: predicted is no string but int: 7"),
    ],
)
def test_rows_that_are_no_text(truth: list[tuple[str, ...]], said: list[str], message: str) -> None:
    with pytest.raises(TunesmithError, match=message):
        METRICS.make("chrf").measure(Answers.of_texts(truth, said), np.ones((1, 2)))


def test_a_truth_that_is_one_string_is_refused() -> None:
    """A string is a sequence of strings: its letters would be references."""
    truth, said = np.array(["abc", "d"], dtype=object), np.array(["abc", "d"], dtype=object)
    with pytest.raises(TunesmithError, match="row 1: truth is str and has to be a tuple of reference strings"):
        METRICS.make("exact_match").measure(Answers("text", truth, said), np.ones((1, 2)))
    with pytest.raises(TunesmithError, match="row 1: the references are the single string 'abc'"):
        Answers.of_texts(["abc"], ["abc"])


def test_the_page_runs_and_names_every_metric_of_text() -> None:
    """docs/text-metrics.md: its example is executed, and no metric is forgotten."""
    page = (Path(__file__).parents[2] / "docs" / "text-metrics.md").read_text(encoding="utf-8")
    assert not [metric.name for metric in TEXT if f"`{metric.name}`" not in page]
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, check=True)
    assert "Difference(value=56.8" in done.stdout and "version:" in done.stdout

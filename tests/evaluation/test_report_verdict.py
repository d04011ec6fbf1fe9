"""The verdict and its words: what is claimed follows the measured numbers."""

import json
from pathlib import Path
from typing import Any

import pytest
from fake_runs import build
from report_pages import change, page_of, parsed

from tunesmith.evaluation.report_blocks import p_value, percent
from tunesmith.evaluation.report_read import named, read
from tunesmith.evaluation.report_verdict import paired, verdict


def test_the_verdict_says_it_in_words(runs: dict[str, Path]) -> None:
    words = parsed((runs["english"] / "report.html").read_text("utf-8")).text
    accuracy = json.loads((runs["english"] / "metrics.json").read_text("utf-8"))["metrics"]["test"]["accuracy"]["value"]
    assert f"On 140 unseen rows, it is right {accuracy:.0%}".replace("%", "\u00a0%").replace(
        "\u00a0", " "
    ) in words.replace("\u00a0", " ")
    assert "Always giving the most frequent answer would give" in words
    assert "word-count model" in words
    assert "chance" in words


def test_verdicts_follow_the_paired_tests(run: Path) -> None:
    def told(**differences: tuple[float, float]) -> str:
        change(run, "metrics", paired={
            name: {"split": "test", "metric": "macro_f1", "test": "paired bootstrap", "p": p,
                   "difference": {"value": value, "low": value - 0.1, "high": value + 0.1}}
            for name, (value, p) in differences.items()
        })  # fmt: skip
        return verdict(read(run)).tone

    assert told(majority=(0.5, 0.001), tfidf=(0.1, 0.01)) == "good"
    assert told(majority=(0.5, 0.001), tfidf=(0.01, 0.6)) == "unsure"
    assert told(majority=(0.5, 0.001), tfidf=(-0.2, 0.001)) == "bad"
    assert told() == "unsure"
    # Three comparisons: 0.03 alone would count, corrected it does not.
    assert told(majority=(0.5, 0.03), tfidf=(0.1, 0.03), probe=(0.1, 0.03)) == "unsure"


def test_lower_can_be_better(run: Path) -> None:
    change(run, "metrics", paired={"tfidf": {"split": "test", "metric": "log_loss", "p": 0.001, "test": "t",
                                             "difference": {"value": -0.3, "low": -0.4, "high": -0.2}}})  # fmt: skip
    (one,) = paired(read(run))
    assert one.gain == 0.3
    assert verdict(read(run)).tone == "good"


def test_validation_alone_is_called_kind(tmp_path: Path) -> None:
    run = build(tmp_path / "run", test=False)
    words = parsed(page_of(run)).text
    assert "validation rows" in words
    assert "A test split" in words


def test_without_baselines(tmp_path: Path) -> None:
    run = build(tmp_path / "run", baselines=False)
    assert "compared with nothing simple" in parsed(page_of(run)).text


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("lora", "lora"),
        (None, "?"),
        ({"name": "lora", "r": 8}, "lora"),
        (["lora", {"name": "adapter"}], "lora + adapter"),
        ({"name": "mixed", "parts": ["lora", {"name": "bitfit"}]}, "lora + bitfit"),
    ],
)
def test_parts_are_named(part: Any, expected: str) -> None:
    assert named(part) == expected


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, "0"), (1.0, "100"), (0.844, "84"), (0.999, "99.9"), (0.99996, "99.996"), (0.0004, "0.04")],
)
def test_percent_is_not_rounded_to_all_or_nothing(share: float, expected: str) -> None:
    assert percent(share) == f"{expected}\u00a0%"


def test_p_values() -> None:
    assert [p_value(p).replace("\u00a0", " ") for p in (0.0004, 0.0123, 0.5)] == ["p < 0.001", "p = 0.012", "p = 0.5"]

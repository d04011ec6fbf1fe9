"""What was measured: the table is what the lines of results say, and worth is the mean that the page describes."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from tunesmith.advising import evidence
from tunesmith.advising.evidence import Line, effort, lines, size_of, worth

ROOT = Path(__file__).parent.parent.parent


def line(data: str, rows: int, kind: str = "classes", **scores: float) -> Line:
    seconds = {name: 10.0 * (name != "head") + 2.0 for name in scores}
    return Line(data=data, source="x", kind=kind, rows=rows, metric="accuracy", base="b", scores=scores,
                seconds=seconds, runs=1)  # fmt: skip


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    some = (
        line("a", 100, lora=0.5, full=0.6, head=0.4), line("a", 900, lora=0.5, full=0.7),
        line("b", 500, lora=0.5, full=0.4), line("c", 5000, "numbers", lora=0.5, full=0.44),
    )  # fmt: skip
    monkeypatch.setattr(evidence, "lines", lambda: some)


@pytest.mark.usefixtures("planted")
def test_worth_is_a_mean_over_data_sets_that_gives_way_step_by_step() -> None:
    found = worth("full", "classes", 300)
    everything = (3 * ((15 - 10 - 6) / 3) - 3) / 4  # a: (10 + 20) / 2, b: -10, c: -6; and one data set's weight of -3
    kind = (2 * 2.5 + everything) / 3
    assert found is not None and found.points == pytest.approx((2 * 2.5 + kind) / 3)
    assert (found.sets, found.others) == (("a", "b"), 1)
    assert "measured on a, b (classes, below 1,000 rows), and 1 others" in found.told("classes", 300)


@pytest.mark.usefixtures("planted")
def test_a_data_set_that_is_left_out_says_nothing() -> None:
    found = worth("full", "classes", 300, without=["a", "b"])
    assert found is not None and found.points == pytest.approx((-6 - 3) / 2) and found.sets == ()
    assert "from 1 data sets, none of them like this (classes, below 1,000 rows)" in found.told("classes", 300)
    assert worth("head", "classes", 300, without=["a"]) is None and worth("ia3", "classes", 300) is None


@pytest.mark.usefixtures("planted")
def test_the_yardstick_is_nought_and_effort_is_against_full_tuning() -> None:
    found = worth("lora", "classes", 300)
    assert found is not None and found.points == 0
    assert effort("head") == pytest.approx(2 / 12) and effort("ia3") is None
    assert [size_of(n) for n in (999, 1000, 10_000, 10_001)] == [
        "below 1,000 rows", "1,000 to 10,000 rows", "1,000 to 10,000 rows", "above 10,000 rows",
    ]  # fmt: skip


def test_every_number_comes_from_a_line_of_results() -> None:
    """Written anew from the results the table is the same, but for what was measured since."""
    spec = importlib.util.spec_from_file_location("bench_advice", ROOT / "bench" / "decide" / "advice.py")
    assert spec and spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
        sys.modules.pop("sets", None)
    now = {(e["source"], e["rows"]): e for e in (*module.quality(), *module.generation())}
    for each in lines():
        again = now[each.source, each.rows]
        if again["runs"] == each.runs:
            assert {name: again["scores"][name] for name in each.scores} == each.scores
        assert "lora" in each.scores and (ROOT / "bench" / each.source).is_file()

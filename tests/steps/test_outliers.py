"""Outliers: bounds of the training rows alone, stored, the same for held-out rows and rows to answer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs import run_job
from kit import TinyBases
from tunesmith.checks import Seen
from tunesmith.checks.outliers import Outliers as Check
from tunesmith.data import Record, Roles
from tunesmith.data.fences import _quantiles, fences, medcouple
from tunesmith.data.numbers import numeric
from tunesmith.errors import TunesmithError
from tunesmith.plan_text import make_plan
from tunesmith.prepare import Prepared, prepare

ROLES = Roles(("text",), "label", side=("pressure",))


def file(tmp_path: Path, name: str, pressures: Any) -> str:
    rows = [f"the pump makes noise {i},{p},{i},{'ab'[i % 2]}" for i, p in enumerate(pressures)]
    (tmp_path / name).write_text("text,pressure,number,label\n" + "\n".join(rows) + "\n")
    return str(tmp_path / name)


def prepared(tmp_path: Path, train: Any, held: Any, side: Any = ("pressure",), **step: Any) -> Prepared:
    data = {"train": file(tmp_path, "t.csv", train), "validation": file(tmp_path, "v.csv", held), "test": None}
    task = {"name": "classify", "text": "text", "label": "label", "side_columns": list(side)}
    step = {"name": "outliers", **step}
    return prepare(make_plan({"task": task, "base": "minilm", "data": data | {"near": "ignore"}, "steps": [step]}))


def pressures(rows: Any) -> list[Any]:
    return [r.cells["pressure"] for r in rows]


PLAIN = np.round(np.random.default_rng(0).normal(2.3, 0.1, 60), 4).tolist()
HELD = [2.2, 9.9, -3.0, 2.4]


def held_texts(made: Prepared) -> list[str]:
    return pressures(made.splits["validation"])


def test_clip_moves_held_out_rows_to_bounds_that_training_rows_alone_set(tmp_path: Path) -> None:
    made = prepared(tmp_path, [*PLAIN[4:], 2.31, 2.3, "", 999], [*HELD[:1], *HELD[1:]])
    known = fences(np.array([*PLAIN[4:], 2.31, 2.3, 999]))
    assert known is not None
    assert made.learnt == {"steps.0": {"pressure": [known.low, known.high]}}
    told = made.about()["ledger"]["told"]["outliers"]
    assert told == [{"column": "pressure", "low": known.low, "high": known.high, "training rows outside": 1}]
    low, high = f"{known.low:.10g}", f"{known.high:.10g}"
    assert held_texts(made) == ["2.2", high, low, "2.4"] and pressures(made.splits["train"])[-2:] == ["", high]
    assert made.ledger.changes["outliers"] == {"pressure clipped": 3}
    other = prepared(tmp_path, [*PLAIN[4:], 2.31, 2.3, "", 999], [500.0] * 30)
    assert other.learnt == made.learnt, "held-out rows teach nothing"


def test_drop_leaves_held_out_rows_alone(tmp_path: Path) -> None:
    made = prepared(tmp_path, [*PLAIN, 999], HELD, how="drop", columns=["pressure"])
    assert len(made.splits["train"]) == 60 and "999" not in pressures(made.splits["train"])
    assert held_texts(made) == ["2.2", "9.9", "-3.0", "2.4"]
    assert made.ledger.summary()["reasons"]["outliers: pressure is outside its bounds"] == 1
    assert sum(made.ledger.counts().values()) == 65


def test_bounds_that_are_known(tmp_path: Path) -> None:
    made = prepared(tmp_path, PLAIN, HELD, bounds={"pressure": [0, 5]})
    assert held_texts(made) == ["2.2", "5", "0", "2.4"]
    assert made.learnt == {"steps.0": {"pressure": [0.0, 5.0]}}


def test_rows_that_become_one_by_clipping_do_not_stand_on_both_sides(tmp_path: Path) -> None:
    made = prepared(tmp_path, [900, *PLAIN[1:]], [800])  # the same text, told apart by the number alone
    assert len(made.splits["train"]) == 59
    assert "stands in validation" in str(made.ledger.summary()["reasons"])


@pytest.mark.parametrize(
    ("step", "side", "says"),
    [
        ({"columns": ["number"]}, ["pressure"], "'number' is not read"),
        ({"columns": ["label"]}, ["pressure"], "'label' is the answer"),
        ({"columns": ["presure"]}, ["pressure"], "pressure"),
        ({}, [], "no side column holds numbers"),
        ({"bounds": {"pressure": [5, 0]}}, ["pressure"], "low < high"),
        ({"bounds": {"pressure": [0, 5]}, "columns": ["number"], "how": "drop"}, ["pressure"], "columns does not"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, step: dict[str, Any], side: list[str], says: str) -> None:
    with pytest.raises(TunesmithError, match=says):
        prepared(tmp_path, PLAIN, HELD, side, **step)


def test_a_saved_model_answers_by_the_same_bounds(tmp_path: Path, tiny_bases: TinyBases) -> None:
    from tunesmith.asking import cleaned
    from tunesmith.data.table import read
    from tunesmith.model import load

    data = {"train": file(tmp_path, "t.csv", [*PLAIN, 999]), "validation": file(tmp_path, "v.csv", HELD), "test": None}
    plan = {
        "task": {"name": "classify", "text": "text", "label": "label", "side_columns": ["pressure"], "side": "vector"},
        "base": str(tiny_bases["bert"]), "method": "head", "data": data, "steps": ["outliers"],
        "evaluate": {"baselines": [], "resamples": 100}, "train": {"max_steps": 1}, "run": str(tmp_path / "run"),
    }  # fmt: skip
    run_job(plan)
    model = load(tmp_path / "run" / "model")
    low, high = model.facts.steps["steps.0"]["pressure"]
    asked = cleaned(model, read(file(tmp_path, "asked.csv", [50, -50, 2.3])), labelled=False)
    assert pressures(asked) == [f"{high:.10g}", f"{low:.10g}", "2.3"]


def test_the_medcouple_of_worked_examples_and_by_its_definition() -> None:
    assert medcouple(np.array([1.0, 2, 7, 9, 10])) == pytest.approx(-1 / 3)  # of robustbase::mc
    assert medcouple(np.arange(9.0)) == 0
    rng = np.random.default_rng(1)
    for size in (20, 21, 50):
        values = rng.exponential(size=size)
        middle = np.median(values)
        kernels = [
            ((u - middle) - (middle - low)) / (u - low)
            for u in values if u >= middle for low in values if low <= middle and u > low
        ]  # fmt: skip
        assert medcouple(values) == pytest.approx(np.median(kernels), abs=0.05 if size % 2 else 1e-12)
        assert medcouple(-values) == pytest.approx(-medcouple(values))


@pytest.mark.parametrize(
    ("draw", "most"),
    [("normal", 0.01), ("uniform", 0.03), ("exponential", 0.12), ("lognormal", 0.12), ("constant", 0), ("rare", 0)],
)
def test_clean_columns_seldom_have_any(draw: str, most: float) -> None:
    rng = np.random.default_rng(2)
    kinds: dict[str, Any] = {
        "normal": lambda: rng.normal(size=100), "uniform": lambda: rng.uniform(size=100),
        "exponential": lambda: rng.exponential(size=100), "lognormal": lambda: rng.lognormal(size=100),
        "constant": lambda: np.full(100, 7.0), "rare": lambda: (rng.random(100) < 0.1) * 1.0,
    }  # fmt: skip
    told = [found is not None and len(found.outside(values)) > 0 for values in (kinds[draw]() for _ in range(100))
            for found in [fences(values)]]  # fmt: skip
    assert np.mean(told) <= most


def rows(pressures: Any, number: Any = None) -> list[Record]:
    return [
        Record(i, "t.csv", i + 1, i + 2, {"text": f"t{i}", "pressure": p, "number": i if number is None else number[i]})
        for i, p in enumerate(pressures)
    ]


def test_the_check_lists_planted_rows_and_says_when_tails_are_heavy() -> None:
    found = list(Check().look(Seen(rows([*map(str, PLAIN), "23.1", "", "9999"]), ROLES)))
    assert [(f.rows, f.column, f.severity) for f in found] == [(2, "pressure", "warning")]
    assert "t.csv:62 (23.1), t.csv:64 (9999)" in found[0].remedy and "how: clip" in found[0].remedy
    tails = np.random.default_rng(0).standard_cauchy(500)
    (heavy,) = Check().look(Seen(rows(tails.tolist()), ROLES))
    assert heavy.severity == "info" and "heavy tails" in heavy.remedy and "more. " in heavy.remedy
    (other,) = Check().look(Seen(rows(PLAIN, [*range(59), 10**6]), ROLES))
    assert (other.column, other.severity) == ("number", "info") and "does not read" in other.remedy


def test_numeric_answers_are_looked_at_and_texts_are_not() -> None:
    records = [Record(i, "t.csv", i + 1, i + 2, {"text": str(p), "label": p}) for i, p in enumerate([*PLAIN, 50.0])]
    (found,) = Check().look(Seen(records, Roles(("text",), "label", numeric_label=True)))
    assert found.column == "label" and "how: drop, columns: [label]" in found.remedy
    assert not list(Check().look(Seen(records, Roles(("text",), "label"))))


def test_columns_of_numbers_are_read_whole_whatever_their_length() -> None:
    values = np.random.default_rng(5).normal(size=9001)
    cells: list[Any] = [*values.tolist(), None, "", float("nan"), "12", " 3.5 "]
    found = numeric(("pressure", "text", "nowhere"), rows(cells))
    assert list(found) == ["pressure"]
    assert np.array_equal(found["pressure"], [*values, 12.0, 3.5])
    assert numeric(("pressure",), rows([1, True])) == numeric(("pressure",), rows(["1,5"])) == {}


@pytest.mark.parametrize("form", (np.asarray, np.log))
def test_quantiles_of_sorted_values_are_those_of_numpy_to_the_bit(form: Any) -> None:
    values, shares = np.random.default_rng(3).lognormal(size=1237), np.linspace(0, 1, 1001)
    assert np.array_equal(_quantiles(np.sort(values), shares, form), np.quantile(form(values), shares))

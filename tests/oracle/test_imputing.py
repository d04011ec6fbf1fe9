"""Missing numbers of side columns: the same fill and marks as scikit-learn's SimpleImputer(add_indicator=True)."""

from typing import Any

import numpy as np
import pytest
from sklearn.impute import SimpleImputer

from tunesmith.data import Record
from tunesmith.errors import TunesmithError
from tunesmith.plan_text import make_plan
from tunesmith.tasks import TASKS, Facts
from tunesmith.tasks._side import side_vectors, with_side

COLUMNS = ("pressure", "speed", "age")


def table(rows: int, seed: int, lacking: float) -> np.ndarray[Any, Any]:
    """(rows, 3), of which a share is missing in the first two columns."""
    rng = np.random.default_rng(seed)
    values = rng.lognormal(size=(rows, 3)).round(4)
    values[:, :2][rng.random((rows, 2)) < lacking] = np.nan
    return values


def records(values: np.ndarray[Any, Any]) -> list[Record]:
    """Missing as files have it: null, nothing, blanks, not-a-number, a word."""
    blanks: list[Any] = [None, "", "  ", float("nan"), "n/a"]
    cells = [{c: blanks[i % 5] if np.isnan(v) else str(v) for c, v in zip(COLUMNS, row, strict=True)}
             for i, row in enumerate(values)]  # fmt: skip
    return [Record(i, "t.csv", i + 1, i + 2, c) for i, c in enumerate(cells)]


def task(**settings: Any) -> Any:
    return TASKS.find("classify").model_validate(
        {"name": "classify", "side_columns": COLUMNS, "side": "vector", "missing": ["n/a"], **settings}
    )


@pytest.mark.parametrize("strategy", ["mean", "median"])
def test_fills_and_marks_are_scikit_learn_s(strategy: Any) -> None:
    train, asked = table(200, 0, 0.2), table(50, 1, 0.4)
    asked[3, 2] = np.nan  # no training row lacks that one: filled, and without a mark
    asking = task(impute=strategy)
    side = with_side(asking, records(train), Facts()).side
    assert side is not None and side.marks == ("pressure", "speed") and side.width == 5
    theirs = SimpleImputer(strategy=strategy, add_indicator=True).fit(train)
    for values in (train, asked):
        ours = side_vectors(records(values), side, asking.missing).astype(np.float64)
        for place, (mean, std) in enumerate(side.numbers.values()):
            ours[:, place] = ours[:, place] * std + mean
        expected = theirs.transform(values)
        assert ours == pytest.approx(expected, abs=1e-4)
        assert (ours[:, 3:] == expected[:, 3:]).all()


def test_what_is_told_of_it() -> None:
    train = table(40, 0, 0.2)
    notes = with_side(task(impute="median"), records(train), Facts()).notes
    lacking, middle = int(np.isnan(train[:, 0]).sum()), np.nanmedian(train[:, 0])
    assert notes["side column pressure"].startswith(f"{lacking} of 40 training rows have no number: read as the median")
    assert f"{middle:.6g}" in notes["side column pressure"] and "side column age" not in notes
    doubt = with_side(task(missing=[]), records(train), Facts())
    assert (
        "'n/a' is not" in doubt.notes["side column pressure"] and "task.missing" in doubt.notes["side column pressure"]
    )
    assert doubt.side is not None and "pressure" in doubt.side.categories


def test_a_missing_category_is_one_of_its_own() -> None:
    cells: list[Any] = ["A", "B", None, "", "n/a", "A"]
    rows = [Record(i, "t.csv", i + 1, i + 2, dict.fromkeys(COLUMNS, cell)) for i, cell in enumerate(cells)]
    side = with_side(task(), rows, Facts()).side
    assert side is not None and side.categories["age"] == ("", "A", "B")
    assert side_vectors(rows, side, ("n/a",))[:, :3].tolist() == [
        [0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0]
    ]  # fmt: skip


@pytest.mark.parametrize("setting", [{"impute": "median"}, {"missing": ["NA"]}])
@pytest.mark.parametrize("name", ["classify", "regress", "multilabel"])
def test_settings_without_effect_are_refused(setting: dict[str, Any], name: str) -> None:
    plan = {"task": {"name": name, "side_columns": ["a"], **setting}, "base": "minilm", "data": "a.csv"}
    with pytest.raises(TunesmithError, match=f"task: {next(iter(setting))} has no effect unless side: vector"):
        make_plan(plan)

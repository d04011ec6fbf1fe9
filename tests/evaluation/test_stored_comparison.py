"""Runs of other kinds of answers are compared by what they stored, and joined whatever the order of their rows."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from fake_runs import build

import tunesmith
from tunesmith.errors import TunesmithError


def other(folder: Path, task: str, seed: int = 1) -> Path:
    """A run that held out the same rows, stored them in another order, and answered some of them otherwise."""
    run = build(folder, task)
    table = pq.read_table(run / "predictions.parquet")
    rng = np.random.default_rng(seed)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    if task == "regress":
        columns["prediction"] = [value + rng.normal(0, 2) for value in columns["prediction"]]
    else:
        columns["prediction"] = [
            columns["prediction"][(i + 1) % len(table)] if rng.random() < 0.2 else said
            for i, said in enumerate(columns["prediction"])
        ]
    shuffled = table.from_pydict(columns).take(rng.permutation(len(table)))
    pq.write_table(shuffled, run / "predictions.parquet")
    return run


@pytest.mark.parametrize(("task", "metric"), [("regress", "mae"), ("multilabel", "subset_accuracy"), ("regress", "r2")])
def test_answers_of_each_kind(tmp_path: Path, task: str, metric: str) -> None:
    one, two = build(tmp_path / "one", task), other(tmp_path / "two", task)
    reply = tunesmith.compare([one, two], metric=metric, resamples=200)
    stored = [
        {row["row"]: row for row in pq.read_table(run / "predictions.parquet").to_pylist() if row["split"] == "test"}
        for run in (one, two)
    ]
    rows = list(stored[0])
    truth = np.array([stored[0][row]["truth"] for row in rows])
    said = [np.array([own[row]["prediction"] for row in rows]) for own in stored]
    if metric == "mae":
        expected = [abs(each - truth).mean() for each in said]
    elif metric == "r2":
        expected = [1 - ((each - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum() for each in said]
    else:
        expected = [(each == truth).mean() for each in said]
    assert reply["difference"]["value"] == pytest.approx(expected[1] - expected[0])
    assert reply["verdict"] in ("worse", "cannot_tell") and reply["p"] == reply["p_adjusted"]
    assert len(reply["disagreements"]["two"]) == min(50, int((said[0] != said[1]).sum()))


def test_kinds_that_differ_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="are multilabel, those of the first arm numbers"):
        tunesmith.compare([build(tmp_path / "one", "regress"), build(tmp_path / "two", "multilabel")])


def test_three_arms_are_corrected_for_their_number(tmp_path: Path) -> None:
    arms = [build(tmp_path / "a", "regress"), other(tmp_path / "b", "regress"), other(tmp_path / "c", "regress", 2)]
    reply = tunesmith.compare(arms, metric="mae", resamples=200)
    assert [each["b"] for each in reply["comparisons"]] == ["b", "c"]
    assert all(each["p_adjusted"] >= each["p"] for each in reply["comparisons"])
    assert reply["p_adjusted"] == reply["comparisons"][0]["p_adjusted"]

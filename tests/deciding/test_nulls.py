"""The tests keep their word: a cheap check here, the stored measurement, and the whole of it under `slow`."""

import importlib.util
import json
import math
import types
from pathlib import Path

import pytest
from scipy.stats import binom

BENCH = Path(__file__).parent.parent.parent / "bench" / "decide" / "nulls.py"


@pytest.fixture(scope="module")
def nulls() -> types.ModuleType:
    """The simulation as a module."""
    spec = importlib.util.spec_from_file_location("nulls", BENCH)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def within(rate: float, trials: int, promised: float) -> bool:
    """Whether so many of the trials are no surprise (one in ten thousand) if the promise holds."""
    low, high = binom.ppf([5e-5, 1 - 5e-5], trials, promised)
    return bool(low <= round(rate * trials) <= high)


def test_a_few_hundred_nulls(nulls: types.ModuleType) -> None:
    found = nulls.rates({}, nulls.trials("accuracy", nulls.right_pair(), 200, 150, resamples=200))
    rates = {line["test"]: line["rate"] for line in found}
    assert set(rates) == {"paired bootstrap (BCa)", "permutation", "McNemar exact", "McNemar mid-p", "95 % interval"}
    for name in ("McNemar mid-p", "paired bootstrap (BCa)", "95 % interval"):
        assert within(rates[name], 150, 0.05), (name, rates)
    assert rates["McNemar exact"] <= rates["McNemar mid-p"]


def test_what_is_stored_keeps_the_promise() -> None:
    """No test above 6.5 % at 5 % nominal, mid-p, permutation and bootstrap not below 3.5 %, intervals cover 93
    to 97 %, power as theory says."""
    lines = [json.loads(line) for line in BENCH.with_name("results.jsonl").read_text().splitlines()]
    null = [line for line in lines if line["kind"] == "null" and line["rows"] >= 500 and line["seeds"] == 1]
    assert {line["metric"] for line in null} >= {"accuracy", "mae", "macro_f1", "spearman", "ndcg_at_10", "bleu"}
    for line in null:
        assert line["rate"] <= 0.065 or (line["test"] == "95 % interval" and line["rate"] <= 0.07), line
        if line["test"] != "McNemar exact":
            assert line["rate"] >= (0.03 if line["test"] == "95 % interval" else 0.035), line
    assert all(line["trials"] >= 2000 for line in null if line["metric"] in ("accuracy", "mae"))
    for line in (line for line in lines if line["kind"] == "power" and line["test"] != "95 % interval"):
        assert math.isclose(line["rate"], line["theory"], abs_tol=0.05), line
    for line in lines:
        if line["kind"] in ("live", "margin") and line["test"] in (
            "any of 2,000 looks",
            "95 % interval",
            "equivalence",
        ):
            assert line["rate"] <= 0.065, line


@pytest.mark.slow
def test_all_of_it_again(nulls: types.ModuleType) -> None:
    """Fixed seeds: what is stored comes out again."""
    stored = [json.loads(line) for line in BENCH.with_name("results.jsonl").read_text().splitlines()]
    again = [line for job in range(len(nulls.JOBS)) for line in nulls.run(job)[0]]
    assert [(x["metric"], x["test"]) for x in again] == [(x["metric"], x["test"]) for x in stored]
    for one, other in zip(again, stored, strict=True):
        assert one["rate"] == pytest.approx(other["rate"], abs=2e-3), one

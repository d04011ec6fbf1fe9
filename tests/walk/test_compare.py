"""`tunesmith.compare`: arms on one file, group by group; and the example that compares brands."""

import csv
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jobs
import tunesmith
from kit import TinyBases
from tunesmith import merge_proof, prove
from tunesmith.errors import TunesmithError

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def runs(tiny_bases: TinyBases, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run on all rows, one for each of two groups (the second never saw the label `noise`), and held-out rows."""
    top = tmp_path_factory.mktemp("compare")
    found = list(csv.DictReader(jobs.write_tickets(top / "t.csv", rows=120).read_text().splitlines()))
    for number, row in enumerate(found):
        row["brand"] = "ab"[number // 3 % 2]
    kept = {
        "all": found[:84], "a": [r for r in found[:84] if r["brand"] == "a"],
        "b": [r for r in found[:84] if r["brand"] == "b" and r["label"] != "noise"], "test": found[84:],
    }  # fmt: skip
    for name, rows in kept.items():
        with (top / f"{name}.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        if name != "test":
            jobs.run_job(jobs.tree(tiny_bases["bert"], top / f"{name}.csv", top / name, epochs=2))
    return {name: top / name for name in ("all", "a", "b")} | {"test": top / "test.csv"}


def test_arms_are_judged_on_the_same_rows_group_by_group(runs: dict[str, Path]) -> None:
    own = {"a": runs["a"], "b": runs["b"]}
    reply = tunesmith.compare({"shared": runs["all"], "own": own}, runs["test"], by="brand")
    assert (reply["rows"], reply["against"]) == (36, "shared")
    rows = list(csv.DictReader(runs["test"].read_text().splitlines()))
    said: dict[str, Any] = {n: tunesmith.ask(runs[n], [{"text": r["text"]} for r in rows]) for n in ("all", "a", "b")}
    routed = [said[r["brand"]][i] for i, r in enumerate(rows)]
    for name, answers in (("shared", said["all"]), ("own", routed)):
        right = np.array([a == r["label"] for a, r in zip(answers, rows, strict=True)])
        assert reply["metrics"][name]["accuracy"]["value"] == pytest.approx(right.mean())
        for brand in "ab":
            mine = np.array([r["brand"] == brand for r in rows])
            found = reply["slices"]["brand"][brand]["metrics"][name]["accuracy"]["value"]
            assert found == pytest.approx(right[mine].mean())
    noise = [r["label"] == "noise" and r["brand"] == "b" for r in rows]
    assert any(noise) and "noise" not in said["b"], "a label that its model never saw counts as wrong"
    assert any("own: b:" in w and "label that training never saw" in w for w in reply["warnings"])
    assert [test["b"] for test in reply["comparisons"]] == ["own"]
    values = [reply["metrics"][name]["macro_f1"]["value"] for name in ("own", "shared")]
    assert reply["difference"]["value"] == pytest.approx(values[0] - values[1])
    assert reply["p_adjusted"] == reply["p"], "one test: nothing to correct"
    assert all(not part["comparisons"] for part in reply["slices"]["brand"].values()), "18 rows a part are too few"
    lines = reply["table"].splitlines()
    assert lines[0].startswith("|  | macro_f1, 36 rows | a, 18 | b, 18 | minus shared |") and len(lines) == 4


def test_comparisons_without_sense_are_refused(runs: dict[str, Path]) -> None:
    def refused(arms: dict[str, Any], **more: Any) -> str:
        with pytest.raises(TunesmithError) as caught:
            tunesmith.compare(arms, runs["test"], **more)
        return str(caught.value)

    assert "with what?" in refused({"shared": runs["all"]})
    own = {"a": runs["a"], "b": runs["b"]}
    assert "Name their column: by=" in refused({"shared": runs["all"], "own": own})
    assert "no column named 'Brand'" in refused({"shared": runs["all"], "own": own}, by="Brand")
    assert "Name a model for each group" in refused({"s": runs["all"], "own": {"a": runs["a"]}}, by="brand")


def test_the_example_of_brands_runs(
    tiny_bases: TinyBases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it stands, on a tiny base for an epoch; the proofs in this process."""
    monkeypatch.setattr(merge_proof, "prove_merged_apart", merge_proof.prove_merged)
    monkeypatch.setattr(prove, "prove_apart", prove.prove)
    spec = importlib.util.spec_from_file_location("brands", ROOT / "examples" / "brands.py")
    assert spec and spec.loader
    brands = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(brands)
    reply = brands.main([str(tmp_path / "brands"), "--base", str(tiny_bases["bert"]), "--epochs", "1"])
    assert list(reply["metrics"]) == ["shared", "one per brand", "average", "stack", "fusion"]
    assert set(reply["slices"]["brand"]) == set(brands.BRANDS) and reply["warnings"] == []
    assert all(0 <= test["p_adjusted"] <= 1 for test in reply["comparisons"])
    assert capsys.readouterr().out.strip() == reply["table"]

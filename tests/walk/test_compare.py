"""`tunesmith.compare`: arms on one file, group by group; and the example that compares brands."""

import csv
import importlib.util
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jsonschema import validate

import jobs
import tunesmith
from kit import TinyBases
from tunesmith import merge_proof, prove
from tunesmith.cli import main
from tunesmith.errors import TunesmithError
from tunesmith.replies import CompareReply, schema_of

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


@pytest.mark.slow
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


PAGE = ROOT / "docs" / "comparing.md"
ARMS = ("lora", "full", "lora-0", "lora-1", "full-0", "full-1")


@pytest.fixture(scope="module")
def desk(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the page names: runs that held out the same rows and answered some of them
    otherwise, held-out rows, a table of scores, a log."""
    top = tmp_path_factory.mktemp("desk")
    for number, name in enumerate(ARMS):
        shutil.copytree(runs["all"], top / "runs" / name, ignore=shutil.ignore_patterns("checkpoints", "golden"))
        _answer_otherwise(top / "runs" / name, number)
    shutil.rmtree(top / "runs" / "full" / "model")
    shutil.copytree(runs["a"] / "model", top / "runs" / "full" / "model")
    shutil.copy(runs["test"], top / "held_out.csv")
    page = PAGE.read_text(encoding="utf-8")
    for language, name in (("csv", "scores.csv"), ("json", "ab.jsonl")):
        (top / name).write_text(_blocks(page, language)[0], encoding="utf-8")
    return top


def _blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def _answer_otherwise(run: Path, every: int) -> None:
    """Each row whose number divides by `every` gets the next label, surely."""
    columns = pq.read_table(run / "predictions.parquet").to_pydict()
    labels = [name[2:] for name in columns if name.startswith("p:")]
    for row in range(0, len(columns["row"]) if every else 0, every or 1):
        said = labels[(labels.index(columns["prediction"][row]) + 1) % len(labels)]
        columns["prediction"][row] = said
        for label in labels:
            columns[f"p:{label}"][row] = float(label == said)
    pq.write_table(pa.table(columns), run / "predictions.parquet")


@pytest.fixture
def call(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, Any], str]]:
    """(exit code, reply, stderr) of `tunesmith compare … --json` in that folder."""
    monkeypatch.chdir(desk)

    def run(*words: str) -> tuple[int, dict[str, Any], str]:
        capsys.readouterr()
        code = main(["compare", *words, "--json"])
        out, err = capsys.readouterr()
        reply = json.loads(out) if out else {}
        if code == 0:
            validate(reply, schema_of("compare"))
            CompareReply.model_validate(reply)
        return code, reply, err

    return run


Call = Callable[..., tuple[int, dict[str, Any], str]]


def test_the_commands_of_the_page_run(call: Call, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for block in _blocks(PAGE.read_text(encoding="utf-8"), "bash") for line in block.splitlines()]
    assert len(lines) == 6
    for line in lines:
        words = [*shlex.split(line)[2:], *([] if "--scores" in line or "--log" in line else ["--resamples", "200"])]
        code, reply, err = call(*words)
        assert code == 0, f"{line}: {err}"
        assert main(["compare", *words]) == 0
        assert capsys.readouterr().out.startswith(reply["sentence"].split(" (")[0][:40])
    written = list(csv.DictReader((desk / "rows.csv").read_text(encoding="utf-8").splitlines()))
    assert written and all(row["answer_a"] != row["answer_b"] for row in written)


def test_stored_predictions_are_joined_row_by_row(call: Call, desk: Path) -> None:
    """As predictions.parquet says, and as the runs themselves measured."""
    code, reply, _ = call("runs/lora", "runs/lora-0", "--metric", "accuracy", "--by", "class", "--resamples", "200")
    assert code == 0 and reply["data"] == "stored predictions"
    stored = [pq.read_table(desk / "runs" / name / "predictions.parquet").to_pylist() for name in ("lora", "lora-0")]
    a, b = ([row for row in rows if row["split"] == "test"] for rows in stored)
    right = [np.mean([row["prediction"] == row["truth"] for row in rows]) for rows in (a, b)]
    assert reply["difference"]["value"] == pytest.approx(right[1] - right[0]) and reply["rows"] == len(a)
    measured = json.loads((desk / "runs" / "lora" / "metrics.json").read_text())["metrics"]["test"]["accuracy"]["value"]
    assert reply["metrics"]["lora"]["accuracy"]["value"] == pytest.approx(measured)
    differ = {row["text"] for row, other in zip(a, b, strict=True) if row["prediction"] != other["prediction"]}
    told = reply["disagreements"]["lora-0"]
    assert {row["text"] for row in told} == differ and told[0]["influence"] != 0
    assert [abs(row["influence"]) for row in told] == sorted((abs(row["influence"]) for row in told), reverse=True)
    assert all(p["rows"] < 20 and p["comparisons"] == [] for p in reply["slices"]["class"].values())
    assert any("few" in note for note in reply["comparisons"][0]["notes"])


def test_seeds_are_one_arm(call: Call) -> None:
    words = ["--arm", "lora", "runs/lora-0", "runs/lora-1", "--arm", "full", "runs/full-0", "runs/full-1"]
    code, reply, _ = call(*words, "--metric", "accuracy", "--resamples", "200")
    assert code == 0 and reply["seeds"] == [2, 2] and reply["test"].startswith("rows and seeds")
    values = reply["tests"]["rows and seeds"]["values"]
    assert reply["difference"]["value"] == pytest.approx(np.mean(values["b"]) - np.mean(values["a"]))
    assert reply["metrics"]["full"]["accuracy"]["value"] == pytest.approx(np.mean(values["b"]))
    assert any("the same train.seed" in warning for warning in reply["warnings"])


def test_a_file_is_divided_by_columns_lengths_and_classes(call: Call) -> None:
    code, reply, _ = call("runs/lora", "runs/full", "--data", "held_out.csv", "--by", "length", "--by", "class",
                          "--by", "brand", "--resamples", "200")  # fmt: skip
    assert code == 0 and list(reply["slices"]) == ["length", "class", "brand"]
    for parts in reply["slices"].values():
        assert sum(part["rows"] for part in parts.values()) == reply["rows"] == 36
    part = reply["slices"]["class"]["noise"]
    assert list(part["metrics"]["lora"]) == ["accuracy"], "of the rows of one class, the share that is found"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runs/lora"], "with what? Name at least two"),
        (["runs/lora", "{a}"], "held out other rows than the first arm"),
        (["runs/lora", "{a}/model"], "held out other rows than the first arm"),
        (["runs/lora", "nothing"], "no stored predictions"),
        (["runs/lora", "runs/full", "--by", "brand"], "stored predictions hold no column 'brand'"),
        (["runs/lora", "runs/full", "--metric", "mae"], "mae: measures numbers"),
        (["runs/lora", "runs/full", "--metric", "acuracy"], "Did you mean 'accuracy'?"),
        (["runs/lora", "runs/full", "--margin", "0"], "margin above 0"),
        (["runs/lora", "runs/full", "--scale", "1", "5"], "--scale has no effect without --log"),
        (["--log", "ab.jsonl", "--data", "held_out.csv"], "--data has no effect with --log"),
        (["--log", "ab.jsonl", "--scale", "5", "1"], "the first must be the lower end"),
        (["--scores", "held_out.csv"], "no two columns of scores"),
        (["lora", "data", "--scores", "scores.csv"], "a score is missing or no number"),
        (["runs/lora", "--arm", "lora", "runs/full"], "name an arm once"),
        (["runs/lora", "--arm", "two", "runs/full-0", "runs/full-1"], "Give each at least two, or one"),
    ],
)
def test_what_cannot_be_compared_is_refused(call: Call, runs: dict[str, Path], words: list[str], said: str) -> None:
    code, _, err = call(*(word.format(a=runs["a"]) for word in words))
    assert code == 1 and said in err and "Traceback" not in err


def test_scores_of_many_data_sets(call: Call) -> None:
    code, reply, _ = call("--scores", "scores.csv", "--metric", "macro_f1", "--margin", "0.01")
    assert code == 0 and reply["a"] == "lora" and reply["wins"] == {"a": 1, "neither": 0, "b": 5}
    belief = reply["belief"]["signed_rank"]
    assert belief["b"] > belief["a"] and sum(belief.values()) == pytest.approx(1)
    assert reply["verdict"] == "cannot_tell" and reply["data_sets_needed"] > 0
    _, turned, _ = call("full", "lora", "--scores", "scores.csv", "--metric", "macro_f1")
    assert turned["difference"]["value"] == pytest.approx(-reply["difference"]["value"])

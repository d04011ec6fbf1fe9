"""Whole jobs of preference tuning: better answers win on held-out pairs, runs resume, files are answered."""

import csv
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import preferring
from jobs import forked, history, run_job
from tunesmith.data.table import read
from tunesmith.errors import TunesmithError
from tunesmith.flows import evaluate, predict
from tunesmith.plan_text import make_plan
from tunesmith.prepare import prepare
from tunesmith.progress import Progress

QUIET = Progress(silent=True)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return preferring.write_base("llama", tmp_path_factory.mktemp("prefer") / "llama")


@pytest.fixture
def stories(real_data: Path) -> Path:
    """A trained Llama of 260,000 parameters."""
    folder = real_data.parent / "models/stories260k_llama/hf"
    if not folder.is_dir():
        pytest.skip("the tiny trained Llama (../shared/models/stories260k_llama) is not here")
    return folder


def test_dpo_moves_the_margin_of_held_out_pairs(stories: Path, tmp_path: Path) -> None:
    data = preferring.write_rows(tmp_path / "pairs.jsonl", preferring.pairs(110))
    reply = run_job(preferring.tree(stories, data, tmp_path / "run", train={"epochs": 2}))
    found, before = reply["metrics"]["test"], reply["baselines"]["untuned"]["test"]
    assert found["reward_accuracy"]["low"] > 0.5
    assert found["reward_margin"]["low"] > 0.1 and before["reward_margin"]["value"] == 0.0
    assert before["reward_accuracy"]["value"] == 0.5 and before["kl"]["value"] == 0.0
    assert reply["paired"]["untuned"]["difference"]["low"] > 0
    assert reply["proof"]["plain"] and reply["equality"] in ("exact", "bits")
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "prefer what its rows say is the better answer" in page and "By how much better answers win" in page
    check_predictions(tmp_path / "run", reply)
    check_asked(tmp_path, data)


@pytest.mark.slow
def test_a_reward_model_of_real_weights_tells_held_out_answers_apart(stories: Path, tmp_path: Path) -> None:
    data = preferring.write_rows(tmp_path / "pairs.jsonl", preferring.pairs(110))
    asked = preferring.tree(stories, data, tmp_path / "run", train={"epochs": 2})
    reply = run_job(asked | {"task": {"name": "reward", "template": "plain", "max_tokens": 64}})
    found, longer = reply["metrics"]["test"], reply["baselines"]["longer"]["test"]
    assert found["reward_accuracy"]["low"] > 0.5 and found["reward_margin"]["low"] > 0
    assert found["reward_accuracy"]["value"] > longer["reward_accuracy"]["value"], "more than length was learnt"
    assert reply["proof"]["plain"] and reply["proof"]["plain_max_error"] <= 1e-5


def check_predictions(run: Path, reply: dict[str, Any]) -> None:
    """Every number of the metrics can be made again from the file."""
    import pyarrow.parquet as pq

    rows = [r for r in pq.read_table(run / "predictions.parquet").to_pylist() if r["split"] == "test"]
    margins = [r["reward_first"] - r["reward_second"] for r in rows]
    assert sum(margins) / len(rows) == pytest.approx(reply["metrics"]["test"]["reward_margin"]["value"])
    assert {"text", "answer_first", "answer_second", "logp_first", "reference_second"} <= set(rows[0])
    reward = 0.1 * (rows[0]["logp_first"] - rows[0]["reference_first"])
    assert rows[0]["reward_first"] == pytest.approx(reward)


def check_asked(folder: Path, data: Path) -> None:
    """`evaluate` and `predict` on a file of pairs."""
    found = evaluate(folder / "run", data, progress=QUIET)
    assert found["rows"] == 110 and found["metrics"]["reward_accuracy"]["value"] > 0.5
    reply = predict(folder / "run", data, folder / "out.csv", progress=QUIET)
    with (folder / "out.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert reply["rows"] == len(rows) == 110
    share = sum(r["prediction"] == "chosen" for r in rows) / len(rows)
    assert share == pytest.approx(found["metrics"]["reward_accuracy"]["value"])
    assert all((float(r["margin"]) > 0) == (r["prediction"] == "chosen") for r in rows)


@pytest.mark.parametrize("loss", [pytest.param(name, marks=pytest.mark.slow) for name in ("ipo", "orpo", "simpo")])
def test_other_losses_learn_the_better_answer_too(loss: str, base: Path, tmp_path: Path) -> None:
    data = preferring.write_rows(tmp_path / "pairs.jsonl", preferring.pairs(100))
    settings = {"simpo": {"beta": 2.0}, "orpo": {"beta": 1.0}}.get(loss, {})
    asked = preferring.tree(base, data, tmp_path / "run", method="full", loss=loss, train={"epochs": 3}, **settings)
    asked["evaluate"]["metrics"] = ["reward_accuracy", "reward_margin", "win_rate", "kl", "nll_chosen"]
    found = run_job(asked)["metrics"]["test"]
    assert found["reward_accuracy"]["low"] > 0.5 and found["reward_margin"]["low"] > 0


@pytest.mark.slow
def test_kto_learns_from_single_answers(base: Path, tmp_path: Path) -> None:
    data = preferring.write_rows(tmp_path / "opinions.jsonl", preferring.opinions(120))
    reply = run_job(preferring.tree(base, data, tmp_path / "run", method="full", loss="kto", train={"epochs": 3}))
    found = reply["metrics"]["test"]
    assert found["reward_accuracy"]["low"] > 0.5 and found["reward_margin"]["low"] > 0
    unlabelled = [{k: v for k, v in row.items() if k != "label"} for row in preferring.opinions(20, seed=9)]
    asked = preferring.write_rows(tmp_path / "asked.jsonl", unlabelled)
    predict(tmp_path / "run", asked, tmp_path / "out.jsonl", progress=QUIET)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    right = [row["prediction"] == ("wanted" if i % 2 else "unwanted") for i, row in enumerate(rows)]
    assert sum(right) >= 15


@pytest.mark.faults
def test_a_killed_run_goes_on_bit_for_bit(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    data = preferring.write_rows(tmp_path / "pairs.jsonl", preferring.pairs(80))

    def asked(run: str) -> dict[str, Any]:
        return preferring.tree(base, data, tmp_path / run, method="full", train={"epochs": 2})

    pid = forked(asked("killed"), tmp_path / "log")
    journal = tmp_path / "killed/history.jsonl"
    while not (journal.is_file() and len(journal.read_text(encoding="utf-8").splitlines()) >= 3):
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1]), "the run was over before it was killed"
    again = run_job(asked("killed"))
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "empty"))
    whole = run_job(asked("whole"))
    assert again["status"] == "resumed"
    assert again["weights_sha256"] == whole["weights_sha256"]
    assert again["golden_sha256"] == whole["golden_sha256"]
    assert history(tmp_path / "killed") == history(tmp_path / "whole")


@pytest.mark.parametrize(("name", "repeated"), [("en", 5), ("zh", 11)])
def test_the_ledger_of_llamafactorys_pairs(name: str, repeated: int, real_data: Path, base: Path) -> None:
    """Rows that stand there twice, word for word, both answers included."""
    file = real_data / f"llamafactory_demo/dpo_{name}_demo.json"
    rows = [json.dumps(cells, sort_keys=True) for _, cells in read(file, None).rows]
    assert len(rows) - len(set(rows)) == repeated
    plan = make_plan({"task": "prefer", "base": str(base), "data": str(file)})
    fates = prepare(plan).ledger.summary()["fates"]
    assert fates["duplicate"] == repeated and fates["malformed"] == fates["dropped"] == 0
    assert sum(fates[split] for split in ("train", "validation", "test")) == 300 - repeated


@pytest.mark.slow
@pytest.mark.parametrize(("name", "repeated", "limit"), [("en", 5, 512), ("zh", 11, 3000)])
def test_llamafactorys_pairs_run_from_file_to_proof(
    name: str, repeated: int, limit: int, real_data: Path, stories: Path, tmp_path: Path
) -> None:
    """Three rows of the Chinese file need more than the 512 places of the trained base, which says so."""
    file = real_data / f"llamafactory_demo/dpo_{name}_demo.json"
    base = stories if name == "en" else preferring.write_base("llama", tmp_path / "base", places=3000)
    asked = preferring.tree(base, file, tmp_path / "run", template="chatml", max_tokens=limit, train={"max_steps": 4})
    reply = run_job(asked)
    assert reply["proof"]["plain"] and reply["status"] == "done"
    about = json.loads((tmp_path / "run/data.json").read_text(encoding="utf-8"))
    assert about["ledger"]["fates"]["duplicate"] == repeated
    assert evaluate(tmp_path / "run", file, progress=QUIET)["rows"] == 300


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"gamma": 1.0}, "gamma has no effect with loss: dpo"), ({"loss": "kto", "sft_weight": 0.1}, "no effect"),
     ({"loss": "orpo", "label_smoothing": 0.1}, "belongs to dpo and simpo"),
     ({"loss": "ipo", "desirable": 2.0}, "belongs to kto"), ({"pool": "mean"}, "reads every token")],
)  # fmt: skip
def test_settings_without_effect_are_refused(settings: dict[str, Any], told: str, base: Path) -> None:
    with pytest.raises(TunesmithError, match=told):
        make_plan(preferring.tree(base, Path("pairs.jsonl"), Path("run"), **settings))


@pytest.mark.parametrize(
    ("loss", "rows", "told"),
    [("kto", preferring.pairs(4), "This file has pairs: task.loss=dpo"),
     ("dpo", preferring.opinions(4), "task.loss=kto"), ("simpo", [{"prompt": "a", "completion": "b"}], "mapping")],
)  # fmt: skip
def test_a_file_of_the_other_kind_is_refused_with_what_to_do(
    loss: str, rows: list[dict[str, Any]], told: str, base: Path, tmp_path: Path
) -> None:
    data = preferring.write_rows(tmp_path / "rows.jsonl", rows)
    with pytest.raises(TunesmithError, match=told):
        prepare(make_plan(preferring.tree(base, data, tmp_path / "run", loss=loss)))

"""Whole jobs on sounds: train, prove, report, predict; a kill costs nothing; the plans of the pages run."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import jobs
import sounds
import tunesmith
from tunesmith.errors import TunesmithError

TASKS = Path(__file__).parent.parent.parent / "docs" / "tasks"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sounds.tones(tmp_path_factory.mktemp("tones") / "tones", each=16)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sounds.make("wav2vec2", tmp_path_factory.mktemp("base") / "wav2vec2")


def plan_of(page: str) -> dict[str, Any]:
    """The plan that stands on a page."""
    texts = re.findall(r"^```yaml\n(.*?)^```$", (TASKS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return dict(next(p for p in map(yaml.safe_load, texts) if "base" in p))


def test_the_plan_of_the_page_runs_from_a_folder_of_sounds_to_answers(base: Path, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    plan = plan_of("audio.md") | {"base": str(base), "data": str(data), "run": str(run)}
    reply = jobs.run_job(plan | {"train": {"epochs": 15, "batch": 8, "lr": 0.01}, "evaluate": {"resamples": 100}})
    assert reply["proof"]["plain"] and reply["proof"]["bits"]
    assert set(reply["baselines"]) == {"majority", "probe"}
    assert reply["metrics"]["test"]["accuracy"]["value"] >= 0.8 > 2 * 0.34
    assert (run / "model" / "preprocessor_config.json").is_file()
    assert "<script" not in (run / "report.html").read_text(encoding="utf-8")
    tunesmith.predict(run, data / "low", tmp_path / "out.csv")
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 16 and sum(r["prediction"] == "low" for r in rows) >= 12
    assert set(rows[0]) == {"audio", "prediction", "confidence", *(f"p:{c}" for c in sounds.CLASSES)}
    assert tunesmith.ask(run, [{"audio": str(data / "low" / "000.wav")}]) == [rows[0]["prediction"]]


def test_a_kill_costs_nothing(base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunesmith.training.loop import Loop

    def tree(run: str) -> dict[str, Any]:
        train = {"epochs": 1, "batch": 16, "save_every": "1 step", "keep": "last", "lr": 0.01}
        return {"task": "audio", "base": str(base), "data": str(data), "method": "full", "run": str(tmp_path / run),
                "train": train, "evaluate": {"resamples": 100, "baselines": []}}  # fmt: skip

    whole = jobs.run_job(tree("whole"))
    after = Loop._after_step

    def dies(loop: Loop) -> None:
        after(loop)
        if loop.state.step == 2:
            raise KeyError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_after_step", dies)
        with pytest.raises(KeyError):
            jobs.run_job(tree("killed"))
    again = jobs.run_job(tree("killed"))
    assert again["status"] == "resumed" and again["weights_sha256"] == whole["weights_sha256"]


def test_the_plan_of_the_page_writes_what_is_said(base: Path, tmp_path: Path) -> None:
    table, run = sounds.spoken(tmp_path / "said", 24), tmp_path / "run"
    plan = plan_of("transcribe.md") | {"base": str(base), "data": str(table), "run": str(run)}
    with pytest.raises(TunesmithError, match=r"evaluate\.baselines: untuned: .* with a head made for these rows"):
        jobs.run_job(plan | {"evaluate": {"baselines": ["untuned"]}, "run": str(tmp_path / "asked")})
    reply = jobs.run_job(plan | {"train": {"epochs": 2, "batch": 8, "lr": 0.003}, "evaluate": {"resamples": 100}})
    assert reply["proof"]["plain"] and set(reply["metrics"]["test"]) >= {"cer", "wer", "nll"}
    assert reply["baselines"] == {}, "an alphabet is learnt with the head that tells it"
    assert json.loads((run / "model" / "vocab.json").read_text()) == {
        "<pad>": 0, "<unk>": 1, "|": 2, "a": 3, "b": 4, "c": 5
    }  # fmt: skip
    tunesmith.predict(run, table, tmp_path / "out.csv")
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 24 and set(rows[0]) == {"path", "text", "prediction"}
    found = tunesmith.evaluate(run, table)
    assert "cer" in json.dumps(found)

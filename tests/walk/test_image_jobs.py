"""Whole jobs on pictures: train, prove, report, predict; a kill costs nothing; the plan of the page runs."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import jobs
import pictures
import tunesmith
from tunesmith.errors import TunesmithError

PAGE = Path(__file__).parent.parent.parent / "docs" / "tasks" / "image.md"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.shapes(tmp_path_factory.mktemp("shapes") / "shapes", each=20)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.make("resnet", tmp_path_factory.mktemp("base") / "resnet")


def tree(base: Path, data: Path, run: Path, **more: Any) -> dict[str, Any]:
    train = {"epochs": 2, "batch": 16, "save_every": "1 step", "log_every": "1 step", "lr": 0.01}
    return {
        "task": "image", "base": str(base), "data": str(data), "method": "head", "run": str(run),
        "evaluate": {"resamples": 100}, **more, "train": train | more.get("train", {}),
    }  # fmt: skip


def test_from_a_folder_of_pictures_to_answers(base: Path, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    reply = jobs.run_job(tree(base, data, run), apart=True)
    assert reply["proof"]["plain"] and reply["proof"]["bits"]
    assert set(reply["baselines"]) == {"majority", "pixels", "probe"}
    assert any("trunk cache: 2 of 2 blocks" in line for line in _provenance(run)["engine"])
    assert json.loads((run / "model" / "preprocessor_config.json").read_text())["size"] == {"shortest_edge": 32}
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "belongs to “image”" in page and "Pieces a word is cut into" not in page
    assert "where the network looked" in page and page.count('<img src="data:image/png;base64,') >= 2
    assert "Lengths and wording were not compared: these inputs are no texts." in page
    assert "img-src data:" in page and "<script" not in page and ' src="http' not in page
    flat = tmp_path / "new"
    flat.mkdir()
    for name in ("a.png", "b.png"):
        (flat / name).write_bytes((data / "disc" / "000.png").read_bytes())
    tunesmith.predict(run, flat, tmp_path / "out.csv")
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()))
    assert [r["image"] for r in rows] == ["a.png", "b.png"] and rows[0]["prediction"] == rows[1]["prediction"]
    assert set(rows[0]) == {"image", "prediction", "confidence", *(f"p:{c}" for c in pictures.CLASSES)}
    assert tunesmith.ask(run, [{"image": str(flat / "a.png")}]) == [rows[0]["prediction"]]
    (flat / "c.png").write_bytes(b"no picture")
    with pytest.raises(TunesmithError, match=r"c.png: no image that can be read"):
        tunesmith.predict(run, flat, tmp_path / "again.csv")


def _provenance(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "provenance.json").read_text(encoding="utf-8")))


def test_a_kill_costs_nothing_whatever_was_drawn_and_whatever_moved(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Augmented pictures and moving statistics are the same again after resuming, bit for bit."""
    from tunesmith.training.loop import Loop

    more = {
        "task": {"name": "image", "augment": ["flip", "crop", "noise", "mixup"]}, "method": "full",
        "train": {"batch_norm": "moving", "keep": "last"}, "evaluate": {"resamples": 100, "baselines": []},
    }  # fmt: skip
    whole = jobs.run_job(tree(base, data, tmp_path / "whole", **more))
    after = Loop._after_step

    def dies(loop: Loop) -> None:
        after(loop)
        if loop.state.step == 3:
            raise KeyError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_after_step", dies)
        with pytest.raises(KeyError):
            jobs.run_job(tree(base, data, tmp_path / "killed", **more))
    again = jobs.run_job(tree(base, data, tmp_path / "killed", **more))
    assert again["status"] == "resumed"
    assert again["weights_sha256"] == whole["weights_sha256"]
    assert again["golden_sha256"] == whole["golden_sha256"]
    page = (tmp_path / "whole" / "report.html").read_text(encoding="utf-8")
    assert "Training pictures, augmented" in page and "mirrored left to right" in page


def test_the_plan_of_the_page_runs(data: Path, tmp_path: Path) -> None:
    """As it stands there, on another base and other pictures; its base has another resolution."""
    plans = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    plan = next(p for p in (yaml.safe_load(text) for text in plans) if "base" in p)
    plan |= {"base": str(pictures.make("mobilenet_v1", tmp_path / "base")), "data": str(data)}
    plan["task"]["resolution"] = 48
    reply = jobs.run_job(plan | {"run": str(tmp_path / "run"), "evaluate": {"resamples": 100}})
    assert reply["status"] == "done" and reply["proof"]["plain"]
    config = json.loads((tmp_path / "run" / "model" / "preprocessor_config.json").read_text())
    assert config["crop_size"] == {"height": 48, "width": 48}


def test_labels_that_augmentation_may_break_are_warned_of(base: Path, tmp_path: Path) -> None:
    folder = pictures.shapes(tmp_path / "data", each=8)
    for old, new in (("cross", "turn left"), ("disc", "turn right")):
        (folder / old).rename(folder / new)
    more = {"task": {"name": "image", "augment": "auto"}, "evaluate": {"resamples": 100, "baselines": []}}
    reply = jobs.run_job(tree(base, folder, tmp_path / "run", **more, train={"epochs": 1}))
    assert any("flip may break labels that speak of sides" in w for w in reply["warnings"])

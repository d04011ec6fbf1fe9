"""Whole jobs on text, picture and number: fusion beats each input, a kill costs nothing, the plan of the page runs."""

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import fused
import jobs
import pictures
import tunesmith
from kit import TinyBases
from tunesmith.errors import TunesmithError
from tunesmith.plan_text import make_plan

PAGE = Path(__file__).parent.parent.parent / "docs" / "several-inputs.md"


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.make("resnet", tmp_path_factory.mktemp("tower") / "resnet")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fused.write(tmp_path_factory.mktemp("data") / "cases", rows=160)


@pytest.fixture(scope="module")
def trained(tiny_bases: TinyBases, tower: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    run = tmp_path_factory.mktemp("runs") / "whole"
    asked = fused.tree(
        tiny_bases["bert"], tower, data, run, evaluate={"resamples": 100, "metrics": ["accuracy", "log_loss"]},
        data={"train": str(data), "test": 0.3}, train={"epochs": 8},
    )  # fmt: skip
    return run, jobs.run_job(asked, apart=True)


def test_the_whole_beats_each_input_and_itself_without_each(trained: Any) -> None:
    run, reply = trained
    assert reply["proof"]["bits"] and not reply["proof"]["plain"]
    whole = reply["metrics"]["test"]["accuracy"]["value"]
    found = {name: each["test"]["accuracy"]["value"] for name, each in reply["baselines"].items()}
    alone = ("tfidf", "probe", "image", "side", "no_text", "no_image", "no_side")
    assert set(found) == {"majority", *alone}
    assert whole > 0.8 and all(found[name] < whole - 0.2 for name in alone if name != "no_side"), (whole, found)
    cost = reply["metrics"]["test"]["log_loss"]["value"]
    assert cost < reply["baselines"]["no_side"]["test"]["log_loss"]["value"], "side columns tell something of their own"
    assert found["no_text"] < 0.7 and found["no_image"] < 0.7
    assert all(reply["paired"][name]["difference"]["low"] > 0 for name in ("no_text", "no_image", "image"))
    engine = json.loads((run / "provenance.json").read_text(encoding="utf-8"))["engine"]
    assert any("tower: trunk cache: 2 of 2 blocks never move" in line for line in engine)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "without images" in page and "images alone" in page


def test_predict_reads_images_beside_the_file(trained: Any, data: Path, tmp_path: Path) -> None:
    run, _ = trained
    shutil.copytree(data.parent / "photos", tmp_path / "photos")
    rows = list(csv.DictReader(data.read_text(encoding="utf-8").splitlines()))[:4]
    new = tmp_path / "new.csv"
    with new.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "photo", "load"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    tunesmith.predict(run, new, tmp_path / "out.csv")
    out = list(csv.DictReader((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()))
    assert [r["photo"] for r in out] == [r["photo"] for r in rows]
    asked = [{k: r[k] for k in ("text", "load")} | {"photo": str(tmp_path / r["photo"])} for r in rows]
    assert tunesmith.ask(run, asked) == [r["prediction"] for r in out]
    swapped = [row | {"photo": str(data.parent / "photos" / "no.png")} for row in asked]
    with pytest.raises(TunesmithError, match="no.png: there is no such file"):
        tunesmith.ask(run, swapped)
    (tmp_path / "photos" / Path(rows[1]["photo"]).name).unlink()
    with pytest.raises(TunesmithError, match=r"new.csv:3: .*there is no such file"):
        tunesmith.predict(run, new, tmp_path / "again.csv")


@pytest.mark.faults
def test_a_kill_costs_nothing_while_both_towers_move(
    tiny_bases: TinyBases, tower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mask in one tower and AdaLoRA in the other keep a state beside their weights; rows lack pictures."""
    from tunesmith.training.loop import Loop

    data = fused.write(tmp_path / "cases", rows=60, lacking=4)
    more = {
        "task": {"no_image": "learn"}, "method": {"name": "lora", "variant": "adalora"},
        "tower": {"method": {"name": "layers", "sparse": {"share": 0.3, "rows": 8}}}, "train": {"keep": "last"},
    }  # fmt: skip
    whole = jobs.run_job(fused.tree(tiny_bases["bert"], tower, data, tmp_path / "whole", **more))
    after = Loop._after_step

    def dies(loop: Loop) -> None:
        after(loop)
        if loop.state.step == 3:
            raise KeyError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_after_step", dies)
        with pytest.raises(KeyError):
            jobs.run_job(fused.tree(tiny_bases["bert"], tower, data, tmp_path / "killed", **more))
    again = jobs.run_job(fused.tree(tiny_bases["bert"], tower, data, tmp_path / "killed", **more))
    assert again["status"] == "resumed"
    assert again["weights_sha256"] == whole["weights_sha256"]
    assert again["golden_sha256"] == whole["golden_sha256"]
    ledger = json.loads((tmp_path / "whole" / "data.json").read_text(encoding="utf-8"))["ledger"]
    assert ledger["changes"]["pictures"]["a row without a file"] == 15


def test_the_plan_of_the_page_runs(tiny_bases: TinyBases, tmp_path: Path) -> None:
    """As it stands there, on other bases and rows; its tower has another resolution."""
    text, *_ = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (head,) = re.findall(r"^```csv\n(.*?)\n", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    rows = csv.DictReader(fused.write(tmp_path, rows=40).read_text(encoding="utf-8").splitlines())
    lines = [f"{r['text']},{r['photo']},{r['load']},{'AB'[i % 2]},{r['label'][:4]}" for i, r in enumerate(rows)]
    (tmp_path / "cases.csv").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    plan = yaml.safe_load(text) | {"base": str(tiny_bases["bert"]), "data": str(tmp_path / "cases.csv")}
    plan["tower"] |= {"base": str(pictures.make("mobilenet_v1", tmp_path / "base")), "resolution": 48}
    reply = jobs.run_job(plan | {"run": str(tmp_path / "run")})
    assert reply["status"] == "done" and {"image", "side", "no_image"} <= set(reply["baselines"])
    saved = json.loads((tmp_path / "run" / "model" / "tower" / "preprocessor_config.json").read_text())
    assert saved["crop_size"] == {"height": 48, "width": 48}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"tower": {}}, "task: image is read by a second network. Name it: tower"),
        ({"task": {"image": None}}, "tower: has no effect: classify reads no image beside a text"),
        ({"steps": ["clean", "dedup"]}, "steps: images are opened by the step pictures"),
        ({"steps": ["clean", "dedup", "pictures"]}, "dedup stands before pictures"),
        ({"tower": {"method": "prompt"}}, ""),
        ({"replay": {"keep": 5}}, "replay: keeps the text of old rows and not their images"),
        ({"tower": {"method": {"name": "lora", "start": "runs/x"}}}, "tower.method: start is for the base's own"),
        ({"task": {"readout": "verbalizer", "cloze": {"template": "{text} {mask}"}, "side": "text"}},
         "a verbalizer has none"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_said_before_anything_loads(changed: dict[str, Any], says: str) -> None:
    tree = fused.tree(Path("base"), Path("tower"), Path("data.csv"), **changed)
    if changed.get("tower") == {}:
        del tree["tower"]
    if not says:  # known once the base is: the contract of methods has it
        make_plan(tree)
        return
    with pytest.raises(TunesmithError, match=re.escape(says)):
        make_plan(tree)


def test_an_empty_cell_is_refused_with_its_place(tiny_bases: TinyBases, tower: Path, tmp_path: Path) -> None:
    data = fused.write(tmp_path / "cases", rows=20, lacking=5)
    with pytest.raises(TunesmithError, match=r"table.csv:2: column 'photo': no path of a file.*task.no_image: learn"):
        jobs.run_job(fused.tree(tiny_bases["bert"], tower, data, tmp_path / "run"))


def test_a_base_that_reads_text_is_no_tower(tiny_bases: TinyBases, data: Path, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="bert reads text, and the task gives it images"):
        jobs.run_job(fused.tree(tiny_bases["bert"], tiny_bases["bert"], data, tmp_path / "run"))


def test_one_text_with_two_pictures_is_two_inputs(tmp_path: Path) -> None:
    from tunesmith.prepare import prepare

    data = fused.write(tmp_path, rows=30)
    lines = data.read_text(encoding="utf-8").splitlines()
    cells = lines[1].split(",")
    other = ",".join([cells[0], "photos/001.png", *cells[2:]])
    same = ",".join([cells[0], "photos/copy.png", *cells[2:]])
    shutil.copy(tmp_path / "photos" / "000.png", tmp_path / "photos" / "copy.png")
    data.write_text("\n".join([*lines, other, same]) + "\n", encoding="utf-8")
    found = prepare(make_plan(fused.tree(tmp_path, tmp_path, data)))
    assert sum(map(len, found.splits.values())) == 31
    assert found.ledger.summary()["fates"]["duplicate"] == 1


def test_a_merge_refuses_what_has_no_part_in_the_base(trained: Any, tmp_path: Path) -> None:
    run, _ = trained
    with pytest.raises(TunesmithError, match="reads images with a second network"):
        tunesmith.merge([run], tmp_path / "merged")

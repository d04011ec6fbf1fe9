"""Whole jobs with pictures beside conversations and with Whisper, by the plans of their pages."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import AutoModelForImageTextToText, AutoProcessor

import jobs
import sighted
import sounds
import tunesmith
from tunesmith.data.images import look

TASKS = Path(__file__).parent.parent.parent / "docs" / "tasks"
QUICK: dict[str, Any] = {"resamples": 100, "baselines": [], "forgetting": False}


def plan_of(page: str, word: str) -> dict[str, Any]:
    """The plan on a page whose task has that word."""
    texts = re.findall(r"^```yaml\n(.*?)^```$", (TASKS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return dict(next(p for p in map(yaml.safe_load, texts) if "base" in p and word in p["task"]))


def test_the_plan_of_the_page_learns_what_pictures_show(tmp_path: Path) -> None:
    """Colours and places of pictures that training never saw; what nobody can tell from the question."""
    base, run = sighted.make("llava", tmp_path / "base"), tmp_path / "run"
    data = sighted.asked(tmp_path / "data", 36)
    plan = plan_of("generate.md", "image") | {"base": str(base), "data": str(data), "run": str(run)}
    plan["task"] |= {"max_tokens": 96, "decode": {"max_new_tokens": 8}}
    assert plan["method"] == "lora"
    plan |= {"method": {"name": "lora", "r": 16}, "train": {"epochs": 18, "batch": 18, "lr": 0.015, "dropout": 0.0}}
    reply = jobs.run_job(plan | {"evaluate": QUICK})
    assert reply["proof"]["plain"] and reply["proof"]["plain_max_error"] <= 1e-5
    assert reply["metrics"]["test"]["exact_match"]["value"] >= 0.75 > 2 * 0.34
    engine = json.loads((run / "provenance.json").read_text())["engine"]
    assert any(line.startswith("vision tower: it never moves and is run once a row") for line in engine)
    assert len(json.loads((run / "golden" / "written.json").read_text())) == 4
    (tmp_path / "ask.csv").write_text("photo,question\ndata/photos/000.png,which colour ?\n")
    tunesmith.predict(run, tmp_path / "ask.csv", tmp_path / "out.csv")
    row = next(csv.DictReader((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()))
    assert row == {"photo": "data/photos/000.png", "question": "which colour ?", "prediction": "red"}


def test_captions_of_a_fully_tuned_model_are_written_by_plain_transformers(tmp_path: Path) -> None:
    base, run = sighted.make("paligemma", tmp_path / "base"), tmp_path / "run"
    data = sighted.captioned(tmp_path / "data", 9)
    reply = jobs.run_job(sighted.tree(base, data, run, method="full", evaluate=QUICK, train={"epochs": 2}))
    assert reply["proof"]["plain"] and set(reply["metrics"]["test"]) >= {"perplexity", "rougeL"}
    answer = tunesmith.ask(run, [{"photo": str(tmp_path / "data" / "photos" / "001.png")}])
    library, net = (kind.from_pretrained(run / "model") for kind in (AutoProcessor, AutoModelForImageTextToText))
    image = look(tmp_path / "data" / "photos" / "001.png", max_pixels=1 << 20).image
    given = library(images=image, text="<image>", return_tensors="pt")
    given.pop("labels", None)
    made = net.generate(**given, max_new_tokens=8, do_sample=False)[0, given["input_ids"].shape[1] :]
    assert answer == [library.tokenizer.decode(made, skip_special_tokens=True).strip()]


def test_the_plan_of_the_page_trains_whisper(tmp_path: Path) -> None:
    base, run = sounds.dictating(tmp_path / "base"), tmp_path / "run"
    table = sounds.spoken(tmp_path / "said", 24)
    plan = plan_of("transcribe.md", "language") | {"base": str(base), "data": str(table), "run": str(run)}
    plan["task"] |= {"seconds": 1.0}
    plan |= {"train": {"epochs": 4, "batch": 10, "lr": 0.01}, "evaluate": {"resamples": 100}}
    reply = jobs.run_job(plan)
    assert reply["proof"]["plain"] and set(reply["metrics"]["test"]) >= {"cer", "wer", "nll"}
    assert reply["metrics"]["test"]["nll"]["value"] < 4.5  # ln of the bytes is 5.6
    tuned, untuned = reply["metrics"]["test"], reply["baselines"]["untuned"]["test"]
    assert set(untuned) == set(tuned) and untuned["nll"]["value"] > tuned["nll"]["value"]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "the base without fine-tuning" in page and "compared with nothing simple" not in page
    assert "to write down what is said" in page and "Pieces a word is cut into" not in page, "clips have no tokens"
    assert "automatic-speech-recognition" in (run / "MODEL_CARD.md").read_text(encoding="utf-8")
    tunesmith.predict(run, table, tmp_path / "out.csv")
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 24 and set(rows[0]) == {"path", "text", "prediction"}
    assert "cer" in tunesmith.evaluate(run, table)["metrics"]


@pytest.mark.slow
@pytest.mark.parametrize("what", ("pictures", "speech"))
def test_a_tuned_run_folded_into_its_base_answers_alike(what: str, tmp_path: Path) -> None:
    run, train = tmp_path / "run", {"epochs": 1, "batch": 8}
    if what == "pictures":
        data = sighted.captioned(tmp_path / "data", 9)
        asked = sighted.tree(sighted.make("llava", tmp_path / "base"), data, run, method="lora", train=train)
    else:
        data = sounds.spoken(tmp_path / "data", 16)
        asked = plan_of("transcribe.md", "language") | {
            "base": str(sounds.dictating(tmp_path / "base")), "data": str(data), "run": str(run), "method": "lora",
            "train": train,
        }  # fmt: skip
    jobs.run_job(asked | {"evaluate": QUICK})
    found = tunesmith.merge([run], tmp_path / "folded")
    assert found["proof"]["max_error"] <= 1e-4, found
    for name, folder in (("before", run), ("after", tmp_path / "folded")):
        tunesmith.predict(folder, data, tmp_path / f"{name}.csv")
    assert (tmp_path / "before.csv").read_text() == (tmp_path / "after.csv").read_text()

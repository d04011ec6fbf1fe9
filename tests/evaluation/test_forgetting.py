"""The forgetting card: losses equal the plain computation, the same model forgot nothing, and a warning is earned."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import talkers
from tunesmith.errors import TunesmithError
from tunesmith.evaluation import forgetting
from tunesmith.evaluation.report import render
from tunesmith.evaluation.report_read import read
from tunesmith.model import Model, load, untuned
from tunesmith.plan_text import make_plan


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Model]:
    folder = tmp_path_factory.mktemp("forget")
    base = talkers.base(folder / "small", positions=256)
    tuned = load(talkers.saved(base, folder / "run", max_tokens=256) / "model")
    return tuned, untuned(tuned)


def plain_loss(model: Model, lines: list[str]) -> float:
    """Nats a token by transformers' own loss, text by text."""
    total, tokens = 0.0, 0
    for line in lines:
        ids = torch.tensor([model.tokenizer(line, add_special_tokens=False)["input_ids"]])
        with torch.inference_mode():
            loss = float(model.net.auto(input_ids=ids, labels=ids).loss)
        total, tokens = total + loss * (ids.shape[1] - 1), tokens + ids.shape[1] - 1
    return total / tokens


def test_losses_are_those_of_the_library(models: tuple[Model, Model], monkeypatch: pytest.MonkeyPatch) -> None:
    tuned, base = models
    monkeypatch.setattr(forgetting, "KNOWN", 1e6)
    found = forgetting.measure(tuned, base, True)
    given = forgetting.sentences(True)
    assert {name: len(lines) for name, lines in given.items()} == {"en": 60, "zh": 40} and found["rows"] == 100
    for name, lines in given.items():
        group = found["groups"][name]
        assert group["before"]["value"] == pytest.approx(plain_loss(base, list(lines)), abs=1e-4)
        assert group["after"]["value"] == pytest.approx(plain_loss(tuned, list(lines)), abs=1e-4)
    difference = found["difference"]
    assert difference["value"] == pytest.approx(found["after"]["value"] - found["before"]["value"])
    assert difference["low"] <= difference["value"] <= difference["high"]
    width = found["after"]["high"] - found["after"]["low"]
    assert difference["high"] - difference["low"] < width, "pairing takes the sentences' own differences out"


def test_a_language_that_the_base_never_knew_does_not_count(models: tuple[Model, Model], tmp_path: Path) -> None:
    tuned, base = models
    lines = forgetting.sentences(True)
    for share, known in ((1e-6, False), (1e6, True)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(forgetting, "KNOWN", share)
            found = forgetting.measure(tuned, base, True)
        assert all(group["known"] == known for group in found["groups"].values())
        assert found["rows"] == sum(map(len, lines.values())), "where nothing is known, everything is shown"
    with pytest.MonkeyPatch.context() as patch:
        losses = {name: plain_loss(base, list(each)) for name, each in lines.items()}
        patch.setattr(forgetting, "KNOWN", sum(losses.values()) / 2 / np.log(len(tuned.tokenizer)))
        found = forgetting.measure(tuned, base, True)
    easy = min(losses, key=losses.__getitem__)
    assert {n for n, group in found["groups"].items() if group["known"]} == {easy}
    assert found["rows"] == len(lines[easy]) and found["difference"] == found["groups"][easy]["difference"]


def test_the_same_model_has_forgotten_nothing(models: tuple[Model, Model]) -> None:
    found = forgetting.measure(models[1], models[1], True)
    assert found["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert forgetting.warning(found) is None


def told(value: float, low: float, zh: float = 0.0, *, known: bool = True) -> dict[str, Any]:
    def one(rise: float, least: float) -> dict[str, Any]:
        return {"before": {"value": 2.0}, "after": {"value": 2.0 + rise}, "difference": {"value": rise, "low": least}}

    groups = {"en": one(value, low) | {"known": True}, "zh": one(zh, zh / 2) | {"known": known}}
    return one(value, low) | {"groups": groups}


def test_a_warning_names_the_worst_group_and_a_cure() -> None:
    assert forgetting.warning(told(0.05, 0.04)) is None, "small"
    assert forgetting.warning(told(0.5, -0.1)) is None, "chance"
    assert "from 2.00 to 2.50" in str(forgetting.warning(told(0.5, 0.4)))
    text = str(forgetting.warning(told(0.05, 0.04, zh=0.7)))
    assert forgetting.warning(told(0.05, 0.04, zh=0.7, known=False)) is None, "never known, so not forgotten"
    assert "(zh)" in text and "2 times" in text and "Cures:" in text


def test_lines_of_a_file_instead(models: tuple[Model, Model], tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_text("\n".join(f"the pump of hall {i} leaks oil" for i in range(12)) + "\n\n", encoding="utf-8")
    found = forgetting.measure(*models, str(file))
    assert found["rows"] == 12 and not found["groups"]
    file.write_text("one\ntwo\n", encoding="utf-8")
    with pytest.raises(TunesmithError, match="holds 2 lines; give at least 10"):
        forgetting.sentences(str(file))
    with pytest.raises(TunesmithError, match="cannot be read"):
        forgetting.sentences(str(tmp_path / "nowhere.txt"))


def test_the_setting_belongs_to_tasks_that_write() -> None:
    tree = {"task": "classify", "base": "minilm", "data": "t.csv", "evaluate": {"forgetting": "own.txt"}}
    with pytest.raises(TunesmithError, match="forgetting has no effect"):
        make_plan(tree)


def test_a_run_measures_stores_and_shows_it(tmp_path: Path) -> None:
    base = talkers.base(tmp_path / "small", positions=256, head=0.01)
    data = talkers.rows(tmp_path / "rows.jsonl", talkers.PAIRS, times=4)
    ruin = {"epochs": 6, "lr": 0.03, "keep": "last", "patience": None}
    reply = talkers.run(base, data, tmp_path / "run", "full", train=ruin)
    found = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))["forgetting"]
    assert found["rows"] == 100 and np.isfinite(found["difference"]["value"])
    assert found["difference"]["low"] > forgetting.WARN, "a rate that high ruins a base"
    assert any(text.startswith("forgetting: ") for text in reply["warnings"])
    page = render(read(tmp_path / "run"))
    assert "What it forgot" in page and "Chinese" in page and "clearly worse than its base" in page
    silent = talkers.run(base, data, tmp_path / "silent", train={"epochs": 1}, evaluate={"forgetting": False})
    assert not any(text.startswith("forgetting: ") for text in silent["warnings"])
    assert "What it forgot" not in render(read(tmp_path / "silent"))

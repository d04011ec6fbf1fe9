"""Masked words end to end: the plans of the page, a kill, and what came out as the base of the next plan."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs import run_job, write_tickets
from kit import TinyBases
from tunesmith import flows
from tunesmith.bases.find import find
from tunesmith.errors import Interrupted, TunesmithError
from tunesmith.files import read_json
from tunesmith.training.loop import Loop

PAGE = Path(__file__).parent.parent.parent / "docs" / "tasks" / "masked.md"


def tree(base: Path, folder: Path, run: str, **more: Any) -> dict[str, Any]:
    if not (folder / "t.csv").is_file():
        write_tickets(folder / "t.csv", 40)
    return {
        "task": {"name": "masked", "text": "text", "max_tokens": 16}, "base": str(base), "data": str(folder / "t.csv"),
        "method": "full", "train": {"epochs": 1, "batch": 16, "save_every": "1 step"},
        "evaluate": {"baselines": [], "resamples": 100}, "run": str(folder / run), **more,
    }  # fmt: skip


def test_the_plans_of_the_page_make_a_base_and_use_it(
    tiny_bases: TinyBases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_REGISTRY", str(tmp_path / "registry"))
    first, second = (yaml.safe_load(b.partition("```")[0]) for b in PAGE.read_text().split("```yaml\n")[2:4])
    assert second["base"] == first["run"]
    short: dict[str, Any] = {"evaluate": {"resamples": 100, "baselines": []}, "train": {"epochs": 1, "batch": 16}}
    usual = tree(tiny_bases["bert"], tmp_path, "read")
    made = first | short | {k: usual[k] for k in ("base", "data", "run")}
    reply = run_job(made)
    assert reply["proof"]["plain"] and reply["equality"] == "bits"
    assert set(reply["metrics"]["test"]) == {"perplexity", "token_accuracy", "nll"}
    assert reply["metrics"]["test"]["perplexity"]["low"] < reply["metrics"]["test"]["perplexity"]["value"]
    about = json.loads((tmp_path / "read" / "model" / "config.json").read_text())
    assert about["architectures"] == ["BertForMaskedLM"] and about["tunesmith_word_head"] == "own"
    assert "pipeline_tag: fill-mask" in (tmp_path / "read" / "MODEL_CARD.md").read_text(encoding="utf-8")
    page = (tmp_path / "read" / "report.html").read_text(encoding="utf-8")
    assert "to know the words that are hidden in them" in page
    assert "It writes none itself" in page and "wrote instead" not in page and "(not written; perplexity " in page
    assert "type: fill-mask" in (tmp_path / "read" / "MODEL_CARD.md").read_text(encoding="utf-8")
    said = flows.ask(tmp_path / "read", [{"text": "oil drips at night"}, {"text": ""}])
    assert said[0] > 1 and said[1] is None, "how strange a text is"
    after = second | short | {"base": str(tmp_path / "read"), "data": usual["data"], "run": str(tmp_path / "tuned")}
    after["task"] = after["task"] | {"label": "label"}
    assert run_job(after)["equality"] == "bits"
    digest = read_json(tmp_path / "tuned" / "model" / "tunesmith.json")["base"]["digest"]
    assert digest == find(str(tmp_path / "read" / "model")).digest != find(usual["base"]).digest
    flows.register(tmp_path / "read", "texts")
    assert find("texts@1").digest == digest, "a version of it is the same base"


def test_a_run_that_was_stopped_goes_on_bit_for_bit(tiny_bases: TinyBases, tmp_path: Path) -> None:
    base, words = tiny_bases["bert language"], {"task": {"name": "masked", "text": "text", "whole_words": True}}
    usual: dict[str, Any] = {"evaluate": {"resamples": 100}}  # beside the untuned base
    whole = run_job(tree(base, tmp_path, "whole", **words, **usual))
    assert whole["paired"]["untuned"]["metric"] == "perplexity"
    real, count = Loop._after_step, 0

    def stop(loop: Loop) -> None:
        nonlocal count
        count += 1
        real(loop)
        if count == 1:
            raise Interrupted("stopped", 130)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "_after_step", stop)
        with pytest.raises(Interrupted):
            run_job(tree(base, tmp_path, "cut", **words, **usual))
    again = run_job(tree(base, tmp_path, "cut", **words, **usual))
    assert again["status"] == "resumed"
    for name in ("weights_sha256", "golden_sha256", "metrics", "baselines", "paired"):
        assert again[name] == whole[name], name


def test_an_adapter_is_no_base(tmp_path: Path) -> None:
    (tmp_path / "thin" / "model").mkdir(parents=True)
    (tmp_path / "thin" / "model" / "tunesmith.json").write_text("{}", encoding="utf-8")
    with pytest.raises(TunesmithError, match=r"thin is an adapter beside a base.*tunesmith merge .*thin --out"):
        find(str(tmp_path / "thin"))


@pytest.mark.slow
def test_an_adapter_is_folded_and_is_a_base(tiny_bases: TinyBases, tmp_path: Path) -> None:
    run_job(tree(tiny_bases["bert language"], tmp_path, "thin", method="lora"))
    with pytest.raises(TunesmithError, match="thin is an adapter beside a base"):
        find(str(tmp_path / "thin"))
    flows.merge([tmp_path / "thin"], tmp_path / "folded")
    assert find(str(tmp_path / "folded")).model_type == "bert"

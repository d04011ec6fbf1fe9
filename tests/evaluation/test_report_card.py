"""The model card: measured facts, and no other."""

import json
from pathlib import Path

import pytest
import yaml
from report_pages import RUNS

from tunesmith.evaluation.card import write_card


@pytest.mark.parametrize("name", RUNS)
def test_the_card_tells_measured_facts(runs: dict[str, Path], name: str) -> None:
    card = write_card(runs[name]).read_text("utf-8")
    _, front, body = card.split("---\n", 2)
    told = yaml.safe_load(front)
    assert told["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert "license" not in told
    stored = json.loads((runs[name] / "metrics.json").read_text("utf-8"))["metrics"]
    listed = {
        one["dataset"]["split"]: {m["type"]: m["value"] for m in one["metrics"]}
        for one in told["model-index"][0]["results"]
    }
    assert listed == {s: {m: v["value"] for m, v in t.items() if v["value"] is not None} for s, t in stored.items()}
    assert "## Results" in body
    assert "&id" not in front

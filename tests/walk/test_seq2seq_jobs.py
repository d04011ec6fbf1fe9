"""Whole jobs on encoder-decoders: only the base is another, and everything that a decoder can is there."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs import run_job
from kit import TinyBases
from tunesmith.asking import answers_for, evaluate_file
from tunesmith.data.table import read
from tunesmith.errors import TunesmithError
from tunesmith.flows import load
from tunesmith.progress import Progress

WORDS = ("pump", "belt", "oil")


def write_questions(path: Path) -> Path:
    """What is asked for is to be said."""
    rows = [{"instruction": f"say {word} {i}", "output": word} for i in range(20) for word in WORDS]
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def plan(base: Path, data: Path, run: Path, **more: Any) -> dict[str, Any]:
    return {
        "task": {"name": "generate", "max_tokens": 32, "decode": {"max_new_tokens": 6}, **more.pop("task", {})},
        "base": str(base), "data": str(data), "train": {"epochs": 2, "batch": 12, **more.pop("train", {})},
        "evaluate": {"resamples": 100, "baselines": []}, "run": str(run), **more,
    }  # fmt: skip


def test_a_t5_learns_answers_and_asks_like_any_model(tiny_bases: TinyBases, tmp_path: Path) -> None:
    data, run = write_questions(tmp_path / "say.json"), tmp_path / "run"
    reply = run_job(
        plan(tiny_bases["t5 language"], data, run, method="full", train={"epochs": 16, "batch": 12, "lr": 0.01})
    )
    assert reply["proof"]["plain"]
    assert reply["metrics"]["test"]["exact_match"]["value"] == 1.0
    model = load(run)
    (tmp_path / "ask.json").write_text(json.dumps([{"instruction": f"say {w} 77"} for w in WORDS]))
    asked = read(tmp_path / "ask.json", model.plan.data.format)
    assert answers_for(model, asked)["prediction"] == list(WORDS)
    found = evaluate_file(model, data, Progress(silent=True))
    assert found["rows"] == 60
    assert found["metrics"]["exact_match"]["value"] == 1.0


@pytest.mark.parametrize(
    ("family", "method", "kept"), (("bart", {"name": "lora", "top": 1}, True), ("mbart", "prompt", False))
)
def test_jobs_are_proven(family: str, method: Any, kept: bool, tiny_bases: TinyBases, tmp_path: Path) -> None:
    data, run = write_questions(tmp_path / "say.json"), tmp_path / "run"
    reply = run_job(plan(tiny_bases[f"{family} language"], data, run, method=method))
    assert reply["proof"]["plain"]
    assert reply["proof"]["plain_max_error"] <= 1e-5
    said = json.loads((run / "provenance.json").read_text())["engine"]
    assert any("head: at labels alone" in line for line in said)
    assert any(line.startswith("trunk cache: the encoder (3 of 5 blocks)") for line in said) is kept
    tokens = json.loads((run / "data.json").read_text())["tokens"]
    assert tokens["max"] > 8  # source and target together


@pytest.mark.parametrize(
    ("more", "said"),
    (
        ({"task": {"learn": "all"}}, "Set task.learn: last"),
        ({"base": {"layers": 2}}, "base.layers"),
        ({"method": "prefix"}, "PEFT 0.21"),
        ({"method": {"name": "adapter", "place": "parallel"}}, "bart block"),
    ),
)
def test_what_cannot_work_is_refused_by_name(
    more: dict[str, Any], said: str, tiny_bases: TinyBases, tmp_path: Path
) -> None:
    base, data = tiny_bases["bart language"], write_questions(tmp_path / "say.json")
    asked = plan(base, data, tmp_path / "run", method="lora")
    for section, wanted in more.items():
        named = asked[section] if isinstance(asked[section], dict) else {"name": asked[section]}
        asked[section] = wanted if isinstance(wanted, str) else named | wanted
    with pytest.raises(TunesmithError, match=said):
        run_job(asked)


def test_other_tasks_are_refused_with_the_one_that_works(tiny_bases: TinyBases, tmp_path: Path) -> None:
    rows = [{"text": f"say {w} {i}", "label": w} for i in range(20) for w in WORDS]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    asked = plan(tiny_bases["t5 language"], tmp_path / "rows.json", tmp_path / "run", method="full")
    asked["task"] = {"name": "classify", "text": "text", "label": "label"}
    with pytest.raises(TunesmithError, match="task generate"):
        run_job(asked)

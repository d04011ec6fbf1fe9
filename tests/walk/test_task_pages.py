"""Pages of tasks whose data come with the source: their blocks run as they stand, but on tiny bases and few rows."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import preferring
from jobs import run_job
from kit import TinyBases

ROOT = Path(__file__).parent.parent.parent
ROWS = 40
QUICK = {"train": {"epochs": 1, "batch": 20, "max_steps": 2}, "evaluate": {"resamples": 100, "baselines": []}}
ANSWERS = {
    "classify": "macro_f1", "multilabel": "macro_f1", "regress": "spearman", "reward": "reward_accuracy",
    "prefer": "reward_accuracy", "generate": "perplexity",
}  # fmt: skip
"""Tasks, each with a metric that its result has."""
WRITERS = ("prefer", "generate")
"""Tasks of language models, whose runs take seconds."""


def blocks(task: str, language: str) -> list[str]:
    page = (ROOT / "docs" / "tasks" / f"{task}.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def few(path: Path) -> None:
    """The first rows of a file alone; no cell of these files has a line break."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[: ROWS + path.name.endswith("csv")]), encoding="utf-8")


@pytest.mark.parametrize(
    "task", [pytest.param(name, marks=pytest.mark.slow) if name in WRITERS else name for name in ANSWERS]
)
def test_the_plan_of_the_page_runs(
    task: str, tiny_bases: TinyBases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    tickets = tmp_path / "examples" / "data" / "tickets.csv"
    tickets.parent.mkdir(parents=True)
    tickets.write_bytes((ROOT / "examples" / "data" / "tickets.csv").read_bytes())
    monkeypatch.chdir(tmp_path)
    for block in blocks(task, "python"):
        exec(block, {})
    plan: dict[str, Any] = next(p for p in map(yaml.safe_load, blocks(task, "yaml")) if {"task", "base"} <= set(p))
    assert plan["task"]["name"] == task
    data = Path(plan["data"] if isinstance(plan["data"], str) else plan["data"]["train"])
    few(data)
    base = tiny_bases["bert"] if plan["base"] == "minilm" else preferring.write_base("llama", tmp_path / "llama", 256)
    method = "lora" if plan["method"] == "lora" else plan["method"] | {"top": 1}
    reply = run_job(plan | QUICK | {"base": str(base), "method": method, "run": "run"})
    assert reply["proof"]["plain"] and ANSWERS[task] in reply["metrics"]["test"]
    about = json.loads(Path("run/data.json").read_text(encoding="utf-8"))
    assert about["files"][0]["rows"] == ROWS

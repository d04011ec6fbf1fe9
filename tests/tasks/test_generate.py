"""The task `generate`: what becomes of rows, what is refused, and a whole job that writes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jobs
from kit import TinyBases
from tunesmith.bases.find import find
from tunesmith.bases.load import load_tokenizer
from tunesmith.errors import TunesmithError
from tunesmith.model import facts_for, load
from tunesmith.plan_text import make_plan
from tunesmith.prepare import prepare
from tunesmith.run import Run

ROWS = [
    {"instruction": f"what is wrong with pump {i}", "output": "it leaks oil" if i % 2 else "it is hot"}
    for i in range(30)
]


def tree(base: Path, data: Path, **task: Any) -> dict[str, Any]:
    return {
        "task": {"name": "generate", "template": "plain", "max_tokens": 64, "decode": {"max_new_tokens": 8}, **task},
        "base": str(base), "data": str(data), "method": "lora",
        "train": {"epochs": 2, "batch": 8, "lr": 0.02}, "evaluate": {"resamples": 100, "forgetting": False},
    }  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(ROWS), encoding="utf-8")
    return path


@pytest.mark.parametrize(("name", "rows", "repeated"), [("alpaca_en_demo", 999, 14), ("alpaca_zh_demo", 1000, 8)])
def test_the_ledger_of_the_demo_files_adds_up(name: str, rows: int, repeated: int, real_data: Path) -> None:
    file = real_data / "llamafactory_demo" / f"{name}.json"
    told = prepare(make_plan({"task": "generate", "base": "unused", "data": str(file)})).ledger.summary()
    assert told["rows"] == rows == sum(told["fates"].values())
    assert told["fates"]["duplicate"] == repeated and told["fates"]["dropped"] == 0


def test_rows_that_keep_nothing_to_learn_are_refused_with_the_cure(tiny_bases: TinyBases, data: Path) -> None:
    long = [{"instruction": "pump " * 60 + str(i), "output": r["output"]} for i, r in enumerate(ROWS)]
    data.write_text(json.dumps(long), encoding="utf-8")
    plan = make_plan(tree(tiny_bases["llama language"], data, max_tokens=8))
    prepared = prepare(plan)
    found = find(plan.base.name)
    tokenizer = load_tokenizer(found)
    facts = facts_for(prepared.plan, prepared.splits["train"], prepared.roles, found, tokenizer)
    encoded = prepared.plan.task.encode(prepared.splits["train"], prepared.roles, tokenizer, facts)
    assert (encoded.lengths <= 8).all() and (encoded.lost > 0).all(), "questions are cut before answers"
    task = prepared.plan.task.model_copy(update={"max_tokens": 1})
    with pytest.raises(TunesmithError, match="keep no token to learn from with max_tokens: 1") as refused:
        task.encode(prepared.splits["train"], prepared.roles, tokenizer, facts)
    assert "task.max_tokens=" in str(refused.value) and "rows.json" in str(refused.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": ["clean"]}, "clean rewrites text columns"),
        ({"train": {"best": "bleu"}, "evaluate": {"metrics": ["perplexity", "bleu"]}}, "bleu reads written answers"),
        ({"evaluate": {"baselines": ["tfidf"]}}, "tfidf does not fit this task"),
        ({"task": {"name": "generate", "decode": {"top_k": 5}}}, "temperature 0 draws nothing"),
        ({"task": {"name": "generate", "pool": "mean"}}, "a language model reads every token"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_loads(change: dict[str, Any], words: str, data: Path) -> None:
    with pytest.raises(TunesmithError, match=words):
        make_plan(tree(Path("unused"), data) | change)


def test_an_encoder_cannot_write(tiny_bases: TinyBases, data: Path) -> None:
    with pytest.raises(TunesmithError, match="bert reads text and cannot write it"):
        jobs.run_job(tree(tiny_bases["bert"], data) | {"run": str(data.parent / "run")})


def test_a_whole_job_learns_writes_and_reloads(tiny_bases: TinyBases, data: Path, tmp_path: Path) -> None:
    plan = tree(tiny_bases["qwen2 language"], data)
    reply = jobs.run_job(plan | {"train": plan["train"] | {"epochs": 12}, "run": str(tmp_path / "run")})
    mine, untuned = reply["metrics"]["test"]["perplexity"], reply["baselines"]["untuned"]["test"]["perplexity"]
    assert mine["value"] < untuned["value"] / 2, "twelve epochs of two answers teach them"
    assert {"bleu", "rougeL", "exact_match"} <= set(reply["metrics"]["test"])
    assert "bleu" not in reply["metrics"]["validation"], "texts are written for one split alone"
    assert reply["proof"]["plain"] and reply["proof"]["plain_max_error"] <= 1e-5
    run = Run(tmp_path / "run")
    model = load(run.model)
    assert model.facts.template is not None and model.facts.template.name == "plain", "serving writes as training did"
    asked = list(prepare(model.plan).splits["test"])
    again = model.write(asked)
    alone = np.concatenate([model.write([row]) for row in asked])
    assert again.tolist() == alone.tolist(), "an answer does not depend on the rows that are asked beside it"
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "to answer as its rows do" in page and "Most surprising answers" in page


def test_weights_of_labels_and_rows_count(tiny_bases: TinyBases, data: Path) -> None:
    plan = make_plan(tree(tiny_bases["llama language"], data))
    prepared = prepare(plan)
    found = find(plan.base.name)
    tokenizer = load_tokenizer(found)
    facts = facts_for(prepared.plan, prepared.splits["train"], prepared.roles, found, tokenizer)
    encoded = prepared.plan.task.encode(prepared.splits["train"][:4], prepared.roles, tokenizer, facts)
    assert encoded.labels is not None
    count = sum(int((labels >= 0).sum()) for labels in encoded.labels)
    assert prepared.plan.task.weigh(encoded, range(4)) == count
    heavy = replace(encoded, weights=encoded.weights * 2)
    assert prepared.plan.task.weigh(heavy, range(4)) == 2 * count

"""Small data sets and models for tests of the task `embed`."""

import json
import random
from pathlib import Path
from typing import Any

from tunesmith.bases.find import find
from tunesmith.bases.load import load_tokenizer
from tunesmith.data import Record
from tunesmith.data.table import Table
from tunesmith.model import Model, build, facts_for
from tunesmith.plan_text import make_plan
from tunesmith.tasks import Encoded

WORDS = {
    "leak": ["oil", "drips", "water", "puddle", "seal", "flange"],
    "heat": ["hot", "smoke", "burnt", "steam", "glow", "rises"],
    "noise": ["knock", "rattle", "grind", "hum", "bang", "squeal"],
}


def pairs(count: int = 24, seed: int = 0, *, scored: bool = False, wrong: int = 0) -> list[dict[str, Any]]:
    """Questions and answers about the same fault; some answers stand twice."""
    draw, rows = random.Random(seed), []
    for i in range(count):
        topic, other = draw.sample(sorted(WORDS), 2)
        alike = not scored or i % 2 == 0
        said = " ".join(draw.choices(WORDS[topic], k=draw.randint(2, 5)))
        row: dict[str, Any] = {
            "question": f"{said} {i}",
            "answer": f"{topic if alike else other} {i % (count * 2 // 3)}",
        }
        for k in range(wrong):
            row[f"negative_{k + 1}"] = f"{other} {draw.choice(WORDS[other])} {k}"
        rows.append(row | ({"score": draw.randint(3, 5) if alike else draw.randint(0, 2)} if scored else {}))
    return rows


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return path


def write_beir(folder: Path, queries: int = 12, passages: int = 30) -> Path:
    """A corpus in the BEIR layout; every query has a good and a fair answer, and a passage that is none."""
    draw, topics = random.Random(1), sorted(WORDS)
    texts = [f"{topics[i % 3]} {' '.join(draw.choices(WORDS[topics[i % 3]], k=3))} {i}" for i in range(passages)]
    write(folder / "corpus.jsonl", [{"_id": f"d{i}", "title": f"No {i}", "text": t} for i, t in enumerate(texts)])
    asked = [f"{' '.join(draw.choices(WORDS[topics[i % 3]], k=3))} where {i}" for i in range(queries)]
    write(folder / "queries.jsonl", [{"_id": f"q{i}", "text": t} for i, t in enumerate(asked)])
    lines = ["query-id\tcorpus-id\tscore"]
    for i in range(queries):
        lines += [f"q{i}\td{i % 3 + 3 * k}\t{grade}" for k, grade in ((i % 9, 2), (i % 9 + 1, 1))]
        lines.append(f"q{i}\td{(i + 1) % 3}\t0")
    (folder / "qrels").mkdir()
    file = folder / "qrels" / "train.tsv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def tree(base: Path, data: Path, run: Path, **more: Any) -> dict[str, Any]:
    """A plan of a few seconds."""
    return {
        "task": {"name": "embed", "max_tokens": 24, **more.pop("task", {})}, "base": str(base), "data": str(data),
        "method": more.pop("method", "lora"),
        "train": {"epochs": 2, "batch": 8, "lr": 0.005, **more.pop("train", {})},
        "evaluate": {"resamples": 100}, "run": str(run), **more,
    }  # fmt: skip


def made(
    base: Path, rows: list[dict[str, Any]], method: Any = "full", **task: Any
) -> tuple[Model, Encoded, list[Record]]:
    """(a fresh model, the rows encoded, the rows)."""
    asked = tree(base, Path("unused.jsonl"), Path("unused"), method=method, task=task)
    asked["train"] |= {"dropout": 0.0, "keep": "last"}
    plan = make_plan({k: v for k, v in asked.items() if k != "run"})
    table = Table("rows.jsonl", tuple(rows[0]), [(i + 1, dict(row)) for i, row in enumerate(rows)], (), "")
    plan = plan.model_copy(update={"task": plan.task.resolved(table)})
    given = [Record(i, "rows.jsonl", i + 1, i + 1, row) for i, row in enumerate(rows)]
    records = list(plan.task.taken_in(given))
    found = find(plan.base.name)
    tokenizer = load_tokenizer(found)
    model = build(plan, facts_for(plan, records, plan.task.roles(), found, tokenizer), found, tokenizer)
    return model, model.encode(records, plan.task.roles()), records

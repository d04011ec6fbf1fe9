"""Questions with candidates, for tests of re-rankers."""

import csv
import random
from pathlib import Path
from typing import Any

WORDS = {
    "leak": ["oil", "drips", "water", "puddle", "seal", "flange"],
    "heat": ["hot", "smoke", "burnt", "steam", "glow", "rises"],
    "noise": ["knock", "rattle", "grind", "hum", "bang", "squeal"],
}


def write(path: Path, queries: int = 30, each: int = 6, seed: int = 0) -> Path:
    """Each question has `each` candidates, one or two about its own fault, in a random order; `grade` is 0, 1 or 2."""
    draw = random.Random(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["id", "question", "passage", "answers", "grade"])
        writer.writeheader()
        for q in range(queries):
            topic = draw.choice(sorted(WORDS))
            question = f"{topic} {draw.choice(WORDS[topic])} {q}"
            right = draw.sample(range(each), draw.randint(1, 2))
            for i in range(each):
                about = topic if i in right else draw.choice([t for t in sorted(WORDS) if t != topic])
                passage = f"{about} {' '.join(draw.choices(WORDS[about], k=3))} {q} {i}"
                writer.writerow({
                    "id": f"q{q}", "question": question, "passage": passage,
                    "answers": "yes" if i in right else "no", "grade": 2 - right.index(i) if i in right else 0,
                })  # fmt: skip
    return path


def tree(base: Path, table: Path, run: Path, **more: Any) -> dict[str, Any]:
    """A plan of a few seconds; `more` by section, merged into it."""
    task = {"name": "classify", "text": "question", "pair": "passage", "label": "answers", "query": "id",
            "max_tokens": 32}  # fmt: skip
    evaluate = {"metrics": ["ndcg_at_10", "mrr_at_10", "map", "recall_at_1", "accuracy"], "resamples": 100}
    return {
        "task": task | more.pop("task", {}), "base": str(base), "data": {"train": str(table), "test": 0.3},
        "method": "lora", "train": {"epochs": 2, "batch": 16, "lr": 0.01} | more.pop("train", {}),
        "evaluate": evaluate | more.pop("evaluate", {}), "run": str(run), **more,
    }  # fmt: skip

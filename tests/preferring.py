"""Small models and rows for tests of preference tuning: a tiny causal language model, pairs and opinions."""

import json
import random
from pathlib import Path
from typing import Any

GOOD, BAD = ("warm", "kind", "bright", "happy"), ("cold", "mean", "dark", "sad")
THINGS = ("day", "dog", "house", "friend", "tree", "song", "game", "soup")


def write_base(family: str, folder: Path, places: int = 128) -> Path:
    """A whole base with its language head: config, weights, tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM

    import tiny

    tokenizer = tiny.make_tokenizer(family)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(1)
    config: Any = tiny.make_config(family, tokenizer)
    config.max_position_embeddings = places
    net: Any = AutoModelForCausalLM.from_config(config)
    for parameter in net.parameters():
        if parameter.dim() == 1:
            parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
    net.save_pretrained(folder)
    return folder


def pairs(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Questions with a kind answer, which is the better one, and an unkind one."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        thing = draw.choice(THINGS)
        good, bad = (f"it is a {draw.choice(words)} {thing} and {draw.choice(words)}" for words in (GOOD, BAD))
        rows.append({"prompt": f"tell me of {thing} {number}", "chosen": good, "rejected": bad})
    return rows


def opinions(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """The same answers one by one, each with whether it is wanted."""
    found = []
    for number, row in enumerate(pairs(count, seed)):
        side = "chosen" if number % 2 else "rejected"
        found.append({"prompt": row["prompt"], "completion": row[side], "label": bool(number % 2)})
    return found


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def tree(base: Path, data: Path, run: Path, *, method: Any = "lora", **task: Any) -> dict[str, Any]:
    """A plan of a few seconds; settings of `train` stand under their name in `task`."""
    train = {"epochs": 1, "batch": 8, "lr": 0.003, "save_every": "1 step", "log_every": "1 step", "warmup": 0.0}
    return {
        "task": {"name": "prefer", "max_tokens": 64, **{k: v for k, v in task.items() if k != "train"}},
        "base": str(base), "data": str(data), "method": method, "train": {**train, **task.get("train", {})},
        "evaluate": {"resamples": 100}, "run": str(run),
    }  # fmt: skip

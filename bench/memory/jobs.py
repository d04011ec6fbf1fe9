"""Forecast against what happened over small jobs of every kind, each in a process of its own: memory, and seconds.

    python bench/memory/jobs.py --out jobs.jsonl              all jobs, a line of JSON each; goes on where it stopped
    python bench/memory/jobs.py --out jobs.jsonl --steps 40   on an idle machine, for the seconds
    python bench/memory/picture.py jobs.jsonl                 table and picture for docs/memory.md

Memory is the peak of the whole process over training as the system counts it (VmHWM). Seconds are those of training
alone, on the clock and of the process: where others are at work, only the latter mean something. The self-check is off,
whose own peak would hide that of steps as few as these.
"""

import argparse
import json
import os
import tempfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

BASES: dict[str, dict[str, Any]] = {
    "bert512": {"kind": "bert", "vocab_size": 8000, "hidden_size": 512, "num_hidden_layers": 6,
                "num_attention_heads": 8, "intermediate_size": 2048, "max_position_embeddings": 512},
    "roberta256": {"kind": "roberta", "vocab_size": 16000, "hidden_size": 256, "num_hidden_layers": 4,
                   "num_attention_heads": 8, "intermediate_size": 1024, "max_position_embeddings": 600},
    "qwen256": {"kind": "qwen2", "vocab_size": 16000, "hidden_size": 256, "num_hidden_layers": 6,
                "num_attention_heads": 8, "num_key_value_heads": 4, "intermediate_size": 768,
                "max_position_embeddings": 1024, "tie_word_embeddings": False},
    "llama512": {"kind": "llama", "vocab_size": 8000, "hidden_size": 512, "num_hidden_layers": 6,
                 "num_attention_heads": 8, "num_key_value_heads": 8, "intermediate_size": 1408,
                 "max_position_embeddings": 1024, "tie_word_embeddings": True},
}  # fmt: skip
"""Bases drawn at random, beside minilm: neither memory nor time asks what the weights are."""

JOBS: list[tuple[str, str, Any, str, tuple[int, int], dict[str, Any]]] = [
    # task, base, method, a word for what is special, lengths of rows, train
    ("classify", "minilm", "full", "", (5, 40), {}),
    ("classify", "minilm", "full", "long", (60, 250), {"batch": 5}),
    ("classify", "minilm", "full", "large pieces", (30, 60), {"batch": 48, "micro_tokens": 4096}),
    ("classify", "minilm", "full", "checkpointing", (60, 250), {"checkpointing": "on", "batch": 6}),
    ("classify", "minilm", "full", "sgd", (5, 40), {"optimizer": "sgd"}),
    ("classify", "minilm", "full", "average", (5, 40), {"ema": 0.99}),
    ("classify", "minilm", "lora", "", (5, 40), {}),
    ("classify", "minilm", "lora", "long", (60, 250), {"batch": 5}),
    ("classify", "minilm", "lora", "large pieces", (30, 60), {"batch": 48, "micro_tokens": 4096}),
    ("classify", "minilm", "bitfit", "", (5, 40), {}),
    ("classify", "minilm", "adapter", "", (10, 60), {}),
    ("classify", "minilm", "ia3", "", (10, 60), {}),
    ("classify", "minilm", "head", "", (10, 60), {}),
    ("classify", "minilm", "prompt", "", (10, 60), {}),
    ("classify", "minilm", "prefix", "", (10, 60), {}),
    ("classify", "minilm", {"name": "layers", "top": 2}, "", (10, 60), {}),
    ("classify", "bert512", "full", "", (10, 40), {}),
    ("classify", "bert512", "full", "long", (100, 300), {"batch": 3}),
    ("classify", "bert512", "lora", "", (10, 60), {}),
    ("classify", "bert512", "lora", "small pieces", (20, 80), {"micro_tokens": 256}),
    ("classify", "roberta256", "full", "", (10, 80), {}),
    ("classify", "roberta256", "lora", "long", (100, 400), {"batch": 4}),
    ("classify", "qwen256", "lora", "", (10, 80), {}),
    ("generate", "qwen256", "full", "", (20, 80), {}),
    ("generate", "qwen256", "full", "long", (100, 400), {"batch": 4}),
    ("generate", "qwen256", "lora", "", (20, 80), {}),
    ("generate", "qwen256", "lora", "large pieces", (60, 200), {"micro_tokens": 4096, "batch": 12}),
    ("generate", "qwen256", "lora", "padded", (60, 240), {"batch": 4, "pack": False}),
    ("generate", "llama512", "full", "", (20, 80), {"batch": 8}),
    ("generate", "llama512", "lora", "", (20, 80), {"batch": 8}),
    ("generate", "llama512", "lora", "long", (200, 500), {"batch": 2}),
    ("generate", "llama512", "full", "checkpointing", (100, 300), {"batch": 3, "checkpointing": "on"}),
]


def name_of(job: Any) -> str:
    """What a job is called."""
    task, base, method, word, *_ = job
    method = method if isinstance(method, str) else method["name"]
    return f"{task} {base} {method}" + (f", {word}" if word else "")


def written(folder: Path) -> dict[str, str]:
    """The random bases, on disk."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

    found = {}
    for name, sizes in BASES.items():
        torch.manual_seed(0)
        kind = sizes["kind"]
        config = AutoConfig.for_model(kind, **{k: v for k, v in sizes.items() if k != "kind"})
        auto: Any = AutoModelForCausalLM if kind in ("qwen2", "llama") else AutoModel
        auto.from_config(config).save_pretrained(folder / name)
        found[name] = str(folder / name)
    return found


def encoded(task: str, vocabulary: int, lengths: tuple[int, int], count: int) -> Any:
    """Rows of random tokens with a class, or half of each learnt."""
    from tunesmith.data.ragged import Ragged
    from tunesmith.tasks import Encoded

    draw = np.random.default_rng(0)
    ids = [draw.integers(5, vocabulary, n).tolist() for n in draw.integers(*lengths, count)]
    more: dict[str, Any] = {"targets": draw.integers(0, 3, count)}
    if task == "generate":
        more = {"targets": None, "labels": Ragged.of([[-100] * (len(r) // 2) + r[len(r) // 2 :] for r in ids])}
    return Encoded(
        ids=Ragged.of(ids), types=None, lost=np.zeros(count, np.int32), side=None,
        weights=np.ones(count, np.float32), **more,
    )  # fmt: skip


def plan_of(job: Any, base: str, steps: int) -> Any:
    """Its plan, for so many steps."""
    from tunesmith.plan_text import make_plan

    task, _, method, _, _, train = job
    how = {"batch": 16, "epochs": 2, "max_steps": steps, "patience": None, "keep": "last", "log_every": "1 step"}
    about = {"generate": {"name": "generate"}, "classify": {"name": "classify", "text": "t", "label": "l"}}
    return make_plan({
        "task": about.get(task, {"name": task}), "base": base, "data": "x.csv", "method": method,
        "train": how | {k: v for k, v in train.items() if k != "pack"},
        "engine": {"cache": "off", "check": False, "pack": train.get("pack", True)},
    })  # fmt: skip


@cache
def found_at(base: str) -> Any:
    """A base and its digest, found once for all jobs."""
    from tunesmith.bases.find import find

    return find(base)


def ran(job: Any, base: str, steps: int) -> dict[str, Any]:
    """A job, carried out here; what was forecast and what was measured."""
    from tunesmith.engine.memory import resident
    from tunesmith.model import build
    from tunesmith.progress import Progress
    from tunesmith.tasks import Facts
    from tunesmith.training.given import Job
    from tunesmith.training.loop import Loop

    task, _, _, _, lengths, _ = job
    plan = plan_of(job, base, steps)
    found = found_at(base)
    tokenizer: Any = SimpleNamespace(pad_token_id=0)
    began = resident()
    model = build(plan, Facts() if task == "generate" else Facts(labels=("a", "b", "c")), found, tokenizer)
    rows = plan.train.batch * max(2, -(-steps // 2))
    learnt, held = (encoded(task, int(found.config["vocab_size"]), lengths, n) for n in (rows, 4))
    judge = lambda _: {plan.best_metric: 0.0}  # noqa: E731
    loop = Loop(Job(model, learnt, held, judge, Path(), progress=Progress(silent=True), save=False))
    state = loop.run()
    return {
        "name": name_of(job), "began_mb": began / 2**20, **state.memory, **state.forecast, "measured_seconds": state.seconds,
        "measured_cpu_seconds": state.cpu_seconds, "about": [s for s in model.shortcuts.said if " at peak" in s],
    }  # fmt: skip


def apart(job: Any, base: str, steps: int) -> dict[str, Any]:
    """A job in a process that begins as this one is, with libraries imported and nothing else."""
    found_at(base)
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            found: dict[str, Any] = ran(job, base, steps)
        except BaseException as error:  # told by the parent
            found = {"name": name_of(job), "fault": f"{type(error).__name__}: {error}"}
        with os.fdopen(writing, "w") as out:
            json.dump(found, out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    os.waitpid(child, 0)
    return dict(json.loads(text)) if text else {"name": name_of(job), "fault": "it ended without a word"}


def load_libraries() -> None:
    """What every run imports: it is the same for all, and no part of what differs."""
    import peft  # noqa: F401
    import torch
    import torch._dynamo
    import transformers  # noqa: F401

    import tunesmith.model
    import tunesmith.training.loop  # noqa: F401

    torch.set_num_threads(1)


def main() -> None:
    """All jobs, or some."""
    asked = argparse.ArgumentParser()
    asked.add_argument(
        "--out", type=Path, required=True, help="lines of JSON, a job each; jobs that are there are left out"
    )
    asked.add_argument("--steps", type=int, default=6, help="steps of a job; 40 on an idle machine, for the seconds")
    asked.add_argument("--bases", type=Path, help="a folder with the random bases, where they were written before")
    asked.add_argument("--only", default="", help="jobs whose name has this in it")
    given = asked.parse_args()
    os.environ["TUNESMITH_CACHE"] = tempfile.mkdtemp()
    load_libraries()
    done = {json.loads(line)["name"] for line in given.out.read_text().splitlines()} if given.out.exists() else set()
    with tempfile.TemporaryDirectory() as folder:
        bases = {n: str(given.bases / n) for n in BASES} if given.bases else written(Path(folder))
        for job in JOBS:
            if name_of(job) in done or given.only not in name_of(job):
                continue
            line = json.dumps(apart(job, bases.get(job[1], job[1]), given.steps))
            print(line, flush=True)
            with given.out.open("a") as out:
                out.write(line + "\n")


if __name__ == "__main__":
    main()

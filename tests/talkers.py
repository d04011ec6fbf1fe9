"""Small bases that write, and runs of them: a tiny language model with the marks of chatml, trained for seconds."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

import tiny
from jobs import run_job
from tunesmith.bases.find import find
from tunesmith.bases.load import load_tokenizer
from tunesmith.files import write_folder
from tunesmith.model import build, family_for, save
from tunesmith.plan_text import make_plan
from tunesmith.tasks import Facts

PAIRS = [
    ("what leaks", "the pump leaks oil"), ("who wins", "the team wins the match"), ("what is hot", "the motor"),
    ("what is bad", "a dull and slow story"), ("水泵怎么了", "水泵漏油"), ("电机怎么了", "电机温度过高"),
]  # fmt: skip
DECODE = {"max_new_tokens": 16, "repetition_penalty": 1.5}


def base(
    folder: Path, family: str = "qwen2", *, positions: int = 128, seed: int = 0, head: float = 1.0, **shape: Any
) -> Path:
    """A complete base folder whose network has a language head, drawn that wide: near 0 all tokens are alike to it."""
    tokenizer = tiny.make_tokenizer(family)
    tokenizer.model_max_length = positions
    tokenizer.save_pretrained(folder)
    config = tiny.make_config(family, tokenizer)
    config.update({"max_position_embeddings": positions, **shape})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = AutoModelForCausalLM.from_config(config)
        for parameter in net.parameters():
            if parameter.dim() == 1:
                parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
        net.lm_head.weight.data.normal_(std=head)
    for token in range(len(tokenizer)):  # it writes letters, and no halves of characters
        if "\ufffd" in tokenizer.decode([token]):
            net.lm_head.weight.data[token] = 0
    net.save_pretrained(folder)
    return folder


def rows(path: Path, pairs: list[tuple[str, str]], times: int = 6) -> Path:
    """A file of conversations; the questions are numbered, so that no two are the same."""
    lines = [
        {"messages": [{"role": "user", "content": f"{q} {i}"}, {"role": "assistant", "content": a}]}
        for i in range(times) for q, a in pairs
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


def run(base: Path, data: Path, out: Path, method: Any = "lora", **more: Any) -> dict[str, Any]:
    """A run of a few seconds; returns the reply of `train`."""
    task = {"name": "generate", "template": "chatml", "decode": {"max_new_tokens": 24}, **more.pop("task", {})}
    train = {"epochs": 4, "batch": 8, "lr": 0.02, **more.pop("train", {})}
    judged = {"resamples": 100, "baselines": [], **more.pop("evaluate", {})}
    return run_job({"task": task, "base": str(base), "data": str(data), "method": method, "train": train,
                    "evaluate": judged, "run": str(out), **more})  # fmt: skip


def saved(base: Path, folder: Path, method: Any = "lora", *, seed: int = 0, **task: Any) -> Path:
    """A saved model as a run leaves one, its trained weights drawn instead of learnt: a fraction of a second."""
    settings = {"name": "generate", "template": "chatml", "decode": DECODE, **task}
    plan = make_plan({"task": settings, "base": str(base), "data": "unused.jsonl", "method": method})
    found = find(plan.base.name)
    tokenizer = load_tokenizer(found)
    model = build(plan, plan.task.meet(Facts(), tokenizer, family_for(plan, found)), found, tokenizer)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.net.parameters():
        if parameter.requires_grad:
            parameter.data.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
    write_folder(folder / "model", lambda temporary: save(model, temporary))
    return folder

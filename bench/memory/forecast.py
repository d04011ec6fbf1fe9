"""Forecast against measured memory of training steps, each case in a process of its own.

    python bench/memory/forecast.py            all cases, as rows of docs/memory.md
    python bench/memory/forecast.py CASE       one, as JSON

The language model is a Qwen2 of 110M weights drawn at random (768 wide, 12 blocks, vocabulary 32,000, head of its own):
memory does not ask what the weights are. Measured is the most memory held (RSS, sampled every 2 ms; weights of a base are mapped, which RssAnon does not
show) while two steps run,
less what the process had before the network was loaded.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

CASES: dict[str, dict[str, Any]] = {
    "full": {"method": "full"},
    "full, checkpointing": {"method": "full", "train": {"checkpointing": "on"}},
    "lora": {"method": "lora"},
    "lora, nf4": {"method": "lora", "quant": "nf4"},
    "lora, nf4, checkpointing": {"method": "lora", "quant": "nf4", "train": {"checkpointing": "on"}},
    "head": {"method": "head"},
    "classify minilm, full": {"method": "full", "base": "minilm"},
    "classify minilm, lora": {"method": "lora", "base": "minilm"},
}
ROWS, LENGTHS = 4, (60, 240)
STEPS = 2


def language_base(folder: Path) -> str:
    """The random Qwen2, on disk."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "qwen2", vocab_size=32_000, hidden_size=768, num_hidden_layers=12, num_attention_heads=12,
        num_key_value_heads=4, intermediate_size=2048, max_position_embeddings=1024, tie_word_embeddings=False,
    )  # fmt: skip
    classes: Any = AutoModelForCausalLM
    classes.from_config(config).save_pretrained(folder)
    return str(folder)


def rows(vocabulary: int, *, language: bool) -> Any:
    """Rows of random tokens, half of each learnt; or with one of three classes."""
    from tunesmith.data.ragged import Ragged
    from tunesmith.tasks import Encoded

    draw = np.random.default_rng(0)
    ids = [draw.integers(5, vocabulary, n).tolist() for n in draw.integers(*LENGTHS, ROWS)]
    labels = [[-100] * (len(row) // 2) + row[len(row) // 2 :] for row in ids]
    return Encoded(
        ids=Ragged.of(ids), types=None, lost=np.zeros(ROWS, np.int32), side=None, weights=np.ones(ROWS, np.float32),
        targets=None if language else draw.integers(0, 3, ROWS), labels=Ragged.of(labels) if language else None,
    )  # fmt: skip


class Watch(threading.Thread):
    """The most memory that this process has had for itself since it began."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0

    def run(self) -> None:
        from tunesmith.engine.memory import resident

        while True:
            self.peak = max(self.peak, resident())
            time.sleep(0.002)


def measured(case: dict[str, Any], base: str) -> dict[str, float]:
    """{forecast, measured} in MB, and what the loop itself saw."""
    from tunesmith.engine.memory import resident
    from tunesmith.engine.network import Network
    from tunesmith.model import Model, build
    from tunesmith.plan_text import make_plan
    from tunesmith.progress import Progress
    from tunesmith.tasks import Facts
    from tunesmith.training.given import Job
    from tunesmith.training.loop import Loop

    language = "base" not in case
    train = {"max_steps": STEPS, "epochs": 9, "batch": 8, "log_every": "1 step", "warmup": 0.0, "keep": "last",
             "evaluate_every": "999 steps", **case.get("train", {})}  # fmt: skip
    task = {"name": "generate"} if language else {"name": "classify", "text": "t", "label": "l"}
    tree = {"task": task, "base": {"name": base, "quant": case.get("quant")}, "data": "x.csv",
            "method": case["method"], "train": train, "engine": {"cache": "off"}}  # fmt: skip
    import bitsandbytes  # noqa: F401 - what libraries take for themselves is no part of what is measured
    import peft  # noqa: F401
    import torch

    from tunesmith.engine.precision import Precision

    Precision("fp32")
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], fused=True).step()
    import torch._dynamo  # an optimizer's first step asks for it

    plan, before = make_plan(tree), resident()
    found = plan.base.found()
    facts = Facts() if language else Facts(labels=("a", "b", "c"))
    model: Model = build(plan, facts, found, SimpleNamespace(pad_token_id=0))
    assert isinstance(model.net, Network)
    encoded = rows(int(found.config["vocab_size"]), language=language)
    watch = Watch()
    watch.start()
    job = Job(
        model, encoded, encoded, lambda _: {plan.best_metric: 0.0}, Path(), progress=Progress(silent=True), save=False
    )
    loop = Loop(job)
    state = loop.run()
    print("\n".join(model.shortcuts.said), file=sys.stderr)
    return {
        "forecast": state.memory["forecast_mb"],
        "measured": (watch.peak - before) / 2**20,
        "seen by the loop": state.memory["peak_mb"],
    }


def main() -> None:
    """One case, or a table of all."""
    if len(sys.argv) > 2:
        print(json.dumps(measured(CASES[sys.argv[1]], sys.argv[2])))
        return
    with tempfile.TemporaryDirectory() as folder:
        base = language_base(Path(folder))
        for name, case in CASES.items():
            command = [sys.executable, __file__, name, case.get("base", base)]
            found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            error = found["forecast"] / found["measured"] - 1
            print(f"| {name} | {found['forecast']:,.0f} | {found['measured']:,.0f} | {error:+.0%} |", flush=True)


if __name__ == "__main__":
    main()

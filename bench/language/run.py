"""Measure fine-tuning steps of a causal language model: transformers on padded batches against the engine's shortcuts.

Qwen2's architecture, width 512, 8 blocks, random weights, float32, LoRA of rank 16 on every linear layer, 8 rows a step
(lognormal lengths of 32 to 512 tokens), forward and backward pass, one thread. Arms take turns within one process on the
same batches, in an order that rotates; time is the process's CPU seconds; every arm runs a few rows before it counts.
Peak memory is the anonymous resident memory (RssAnon) above that of the loaded network, each arm in a process of its own.

    python bench/language/run.py                  all cases; appends to results.jsonl, prints a table (half an hour)
    python bench/language/run.py 32k-70 --rounds 5
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results.jsonl"
ROWS, WIDTH, BLOCKS = 8, 512, 8
VOCABULARY = {"152k": 151_936, "32k": 32_000}
ALL = list(range(ROWS))
Loss = Callable[[Any, list[int]], Any]
LEVERS: dict[str, dict[str, Any]] = {
    "packed": {"reads": False, "head": False, "budget": 0, "prefix": False},
    "+reads": {"head": False, "budget": 0, "prefix": False},
    "+head": {"reads": False, "budget": 0, "prefix": False},
    "+head+slabs": {"reads": False, "prefix": False},
    "no prefix": {"prefix": False},
    "all": {},
}
"""Arms besides `hf`, by what is switched off."""
CASES = {
    "152k-70": ("hf", "all"),
    "32k-70": ("hf", "packed", "+reads", "+head", "+head+slabs", "all"),
    "32k-system": ("hf", "no prefix", "all"),
    "152k-50": ("hf", "all"),
    "32k-50": ("hf", "all"),
    "152k-0": ("hf", "all"),
    "32k-0": ("hf", "all"),
}
"""Vocabulary and prompt share in per cent, with the arms that are compared; `system` is a prompt that all rows share."""


def batch(case: str, seed: int) -> Any:
    """8 rows: (vocabulary)-(prompt share in per cent), or 130 tokens behind a system prompt of 500, half of them read."""
    import numpy as np

    from tunesmith.data.ragged import Ragged
    from tunesmith.tasks import Encoded

    vocabulary, kind = case.split("-")
    draw = np.random.default_rng(seed)

    def word(count: int) -> list[int]:
        found: list[int] = draw.integers(10, VOCABULARY[vocabulary], count).tolist()
        return found

    if kind == "system":
        prompt = word(500)
        rows = [(prompt + word(130), 565) for _ in range(ROWS)]
    else:
        lengths = np.clip(np.exp(draw.normal(np.log(110), 0.6, ROWS)), 32, 512).astype(int)
        rows = [(word(n), int(n * int(kind) / 100)) for n in lengths]
    ids = Ragged.of([r for r, _ in rows])
    labels = Ragged.of([[-100] * given + r[given:] for r, given in rows])
    ones = np.ones(ROWS, np.float32)
    return Encoded(ids, None, np.zeros(ROWS, np.int32), None, None, ones, labels)


def network(case: str) -> Any:
    """The network with LoRA, its B moved off 0."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from tunesmith.engine.network import Network

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY[case.split("-", maxsplit=1)[0]], hidden_size=WIDTH, intermediate_size=2816, num_hidden_layers=BLOCKS,
        num_attention_heads=8, num_key_value_heads=2, tie_word_embeddings=True, max_position_embeddings=2048,
    )  # fmt: skip
    auto: Any = Qwen2ForCausalLM(config)
    linears = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    auto = get_peft_model(auto, LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules=linears))
    for name, parameter in auto.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    return Network(auto, 0, 0).train()


def loss_of(net: Any, arm: str) -> Loss:
    """(Batch, rows) -> mean loss of the supervised positions."""
    if arm == "hf":
        return lambda encoded, rows: _library(net, encoded, rows)
    from tunesmith.bases.family import family_of
    from tunesmith.engine.fast import Fast
    from tunesmith.engine.language import PackedLanguage
    from tunesmith.engine.layouts import layout_of
    from tunesmith.engine.lessons import Levers

    levers, family = Levers(**LEVERS[arm]), family_of("qwen2", "language")
    layout = layout_of(family)
    assert layout is not None
    way = PackedLanguage(Fast(net, family, layout, reads=levers.reads), levers)
    return lambda encoded, rows: way.losses(encoded, rows).losses_S.mean()


def _library(net: Any, encoded: Any, rows: list[int]) -> Any:
    import torch

    from tunesmith.engine.batches import collate

    inputs = collate(encoded, rows, 0).inputs
    labels = torch.full_like(inputs["input_ids"], -100)
    for place, row in enumerate(rows):
        found = encoded.labels[row]
        labels[place, : len(found)] = torch.from_numpy(found.copy())
    return net.auto(**inputs, labels=labels).loss


def step(net: Any, loss: Loss, encoded: Any, rows: list[int]) -> tuple[float, float]:
    """(CPU seconds, loss) of a forward and backward pass."""
    net.zero_grad(set_to_none=True)
    start = time.process_time()
    value = loss(encoded, rows)
    value.backward()
    return time.process_time() - start, float(value.detach())


def times(case: str, rounds: int) -> dict[str, Any]:
    """CPU seconds of each arm, round by round, and the largest difference of a loss or the gradient's norm to hf's."""
    import torch

    torch.set_num_threads(1)
    net, arms = network(case), CASES[case]
    losses = {arm: loss_of(net, arm) for arm in arms}
    seconds: dict[str, list[float]] = {arm: [] for arm in arms}
    apart: dict[str, float] = dict.fromkeys(arms, 0.0)
    for arm in arms:
        step(net, losses[arm], batch(case, 0), [0, 1])
    for turn in range(1, rounds + 1):
        encoded = batch(case, seed=turn)
        order = arms[turn % len(arms) :] + arms[: turn % len(arms)]
        found = {}
        for arm in order:
            spent, value = step(net, losses[arm], encoded, ALL)
            gradient = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
            found[arm] = (value, gradient)
            seconds[arm].append(spent)
        first, wanted = found[arms[0]]
        for arm, (value, gradient) in found.items():
            apart[arm] = max(apart[arm], abs(value - first) / first, float((gradient - wanted).norm() / wanted.norm()))
    return {"seconds": seconds, "apart": apart}


def memory(case: str, arm: str) -> dict[str, float]:
    """Peak of RssAnon in MB above the loaded network, over one step after one of two rows."""
    import torch

    torch.set_num_threads(1)
    net = network(case)
    loss = loss_of(net, arm)
    base = _anonymous()
    peak, running = [base], threading.Event()

    def watch() -> None:
        while not running.wait(0.003):
            peak[0] = max(peak[0], _anonymous())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    step(net, loss, batch(case, 0), [0, 1])
    step(net, loss, batch(case, 1), ALL)
    running.set()
    watcher.join()
    return {"network_mb": base, "extra_mb": peak[0] - base}


def _anonymous() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(status.split("RssAnon:")[1].split()[0]) / 1024


def row_of(case: str, timed: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """One line of the results: ratios to the first arm with their spread over the rounds."""
    import torch
    import transformers

    arms, first = CASES[case], timed["seconds"][CASES[case][0]]
    ratios = {a: [f / s for f, s in zip(first, timed["seconds"][a], strict=True)] for a in arms}
    return {
        "case": case, "when": time.strftime("%Y-%m-%d"), "torch": torch.__version__,
        "transformers": transformers.__version__, "processor": platform.machine(), "load": os.getloadavg()[0],
        "rounds": len(first),
        "arms": {
            a: {
                "seconds": statistics.median(timed["seconds"][a]), "ratio": statistics.median(ratios[a]),
                "lowest": min(ratios[a]), "highest": max(ratios[a]), "apart": timed["apart"][a], **extra.get(a, {}),
            }
            for a in arms
        },
    }  # fmt: skip


def child(*arguments: str) -> Any:
    """What this script answers in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    out = subprocess.run(
        [sys.executable, __file__, *arguments], check=True, capture_output=True, text=True, env=environment
    )
    return json.loads(out.stdout.splitlines()[-1])


def main() -> None:
    """Run the cases asked for, each part in a fresh process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--dry", action="store_true", help="print, and write nothing")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        case = asked.cases[0]
        print(json.dumps(times(case, asked.rounds) if asked.part == "times" else memory(case, asked.part)))
        return
    print(
        f"{'case':12} {'arm':12} {'CPU s':>7} {'ratio':>6} {'spread':>12} {'extra MB':>9} {'of first':>8} {'apart':>8}"
    )
    for case in asked.cases or CASES:
        timed = child(case, "--part=times", f"--rounds={asked.rounds}")
        extra = {arm: child(case, f"--part={arm}") for arm in (CASES[case][0], CASES[case][-1])}
        row = row_of(case, timed, extra)
        if not asked.dry:
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        whole = row["arms"][CASES[case][0]]["extra_mb"]
        for arm, a in row["arms"].items():
            timed_s = f"{a['seconds']:7.2f} {a['ratio']:6.2f} {a['lowest']:6.2f}-{a['highest']:.2f}"
            extra_mb = f"{a['extra_mb']:9.0f} {a['extra_mb'] / whole:8.2f}" if "extra_mb" in a else " " * 18
            print(f"{case:12} {arm:12} {timed_s} {extra_mb} {a['apart']:8.1e}", flush=True)


if __name__ == "__main__":
    main()

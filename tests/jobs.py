"""Small whole jobs for tests: a data file, a tiny base, and runs of them in this process or in a forked child."""

import json
import os
import random
from pathlib import Path
from typing import Any

WORDS = {
    "leak": ["oil", "drips", "water", "puddle", "wet", "seal", "flange"],
    "heat": ["hot", "smoke", "burnt", "temperature", "rises", "steam", "glow"],
    "noise": ["knock", "rattle", "grind", "squeal", "hum", "vibrates", "bang"],
}


def write_tickets(path: Path, rows: int = 90, seed: int = 3) -> Path:
    """A learnable three-class CSV."""
    generator = random.Random(seed)
    lines = ["text,label,hours"]
    for i in range(rows):
        label = list(WORDS)[i % 3]
        words = generator.choices(WORDS[label], k=generator.randint(2, 6))
        words += generator.choices(["pump", "fan", "belt", "at", "night"], k=3)
        generator.shuffle(words)
        lines.append(f"{' '.join(words)} {i},{label},{generator.random() * 9:.2f}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def tree(base: Path, data: Path, run: Path, **train: Any) -> dict[str, Any]:
    """A plan of a few seconds."""
    return {
        "task": {"name": "classify", "text": "text", "label": "label", "max_tokens": 32},
        "base": str(base),
        "data": str(data),
        "method": "lora",
        "train": {"epochs": 3, "batch": 16, "save_every": "1 step", "log_every": "1 step", "lr": 0.01, **train},
        "evaluate": {"baselines": [], "resamples": 100},
        "run": str(run),
    }


def run_job(plan_tree: dict[str, Any], *, apart: bool = False) -> dict[str, Any]:
    """Train in this process; the reload proof runs here, too, unless `apart`."""
    import tunesmith.prove as proving
    from tunesmith.flows import train_plan
    from tunesmith.plan_text import make_plan
    from tunesmith.progress import Progress

    real = proving.prove_apart
    try:
        if not apart:
            proving.prove_apart = proving.prove
        return train_plan(make_plan(plan_tree), progress=Progress(silent=True)).reply
    finally:
        proving.prove_apart = real


def forked(plan_tree: dict[str, Any], log: Path) -> int:
    """Start the job in a forked child (no imports to wait for); returns its pid. Its last word goes to `log`."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        from tunesmith.errors import TunesmithError

        try:
            reply = run_job(plan_tree)
            log.write_text(json.dumps(reply), encoding="utf-8")
            code = 0
        except TunesmithError as error:
            log.write_text(str(error), encoding="utf-8")
            code = error.exit_code
    except BaseException as error:  # a child of a fork must never return into pytest
        log.write_text(repr(error), encoding="utf-8")
    finally:
        os._exit(code)


def history(run: Path) -> list[dict[str, Any]]:
    """The journal of a run."""
    return [json.loads(line) for line in (run / "history.jsonl").read_text(encoding="utf-8").splitlines()]

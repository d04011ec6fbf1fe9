"""Memory of the whole way from a data file to training steps, by number of rows: `python bench/memory/flat.py`.

For each size a CSV of synthetic short texts is written, and a fresh process goes the way of a job over it: read, clean,
dedup, ledger, split, overlap check, facts, tokens, and a few optimizer steps, through the functions that `train` calls.
Judging and baselines are left out. Measured are the peaks of anonymous memory (RssAnon: what cannot be dropped) and of
mapped file pages (RssFile: what the system may drop at any time), sampled 20 times a second from /proc.

Lines are appended to bench/memory/results.jsonl. One thread by default.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

RESULTS = Path(__file__).parent / "results.jsonl"
PARTS = ("pump", "fan", "belt", "gearbox", "motor", "valve", "sensor", "seal", "bearing", "hose", "filter", "switch")
SIGNS = {"leak": ("drips", "wet", "puddle"), "heat": ("hot", "smoke", "burnt"), "noise": ("knocks", "hums", "squeals"),
         "electric": ("trips", "dead", "sparks")}  # fmt: skip


def main() -> int:
    """Measure each size in a process of its own; print and keep a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", type=int, default=None, help="sizes; 500,000 and 5,000,000 without them")
    parser.add_argument("--steps", type=int, default=20, help="optimizer steps at the end")
    parser.add_argument("--folder", type=Path, default=None, help="where files and runs lie meanwhile")
    parser.add_argument("--dry", action="store_true", help="print only, keep nothing")
    parser.add_argument("--inside", type=Path, default=None, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        print(json.dumps(measured(asked.inside, asked.steps)))
        return 0
    lines = []
    for rows in asked.rows or [500_000, 5_000_000]:
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            data = write_rows(Path(folder) / "rows.csv", rows)
            done = subprocess.run(
                [sys.executable, __file__, "--inside", str(data), "--steps", str(asked.steps)],
                stdout=subprocess.PIPE, text=True, check=True,
            )  # fmt: skip
            lines.append(
                {"rows": rows, "file_mb": round(data.stat().st_size / 2**20, 1)}
                | json.loads(done.stdout.splitlines()[-1])
            )
        print(json.dumps(lines[-1]), flush=True)
        if not asked.dry:
            with RESULTS.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(lines[-1]) + "\n")
    if len(lines) > 1:
        print(
            f"anonymous memory: {lines[-1]['anon_mb'] / lines[0]['anon_mb']:.2f} x for {lines[-1]['rows'] / lines[0]['rows']:g} x the rows"
        )
    return 0


def write_rows(path: Path, rows: int, seed: int = 1) -> Path:
    """A CSV of short tickets, four classes; one row in fifty repeats an earlier text."""
    generator = random.Random(seed)
    kinds = list(SIGNS)
    with path.open("w", encoding="utf-8") as stream:
        stream.write("text,label,hours\n")
        for i in range(rows):
            kind = kinds[generator.randrange(4)]
            number = generator.randrange(i) if i and generator.random() < 0.02 else i
            text = f"{PARTS[number % 12]} {SIGNS[kind][number % 3]} at line {number % 97} since shift {number // 97}"
            stream.write(f"{text},{kind},{generator.random() * 9:.1f}\n")
    return path


def measured(data: Path, steps: int) -> dict[str, Any]:
    """The way of a job over a file, in this process: peaks in MB, seconds and rows a second by part."""
    watch = Watch()
    from tunesmith.bases.find import find
    from tunesmith.flows import fitted
    from tunesmith.job import begin, learn
    from tunesmith.plan_text import make_plan
    from tunesmith.prepare import prepare
    from tunesmith.progress import Progress, Stop
    from tunesmith.run import Run
    from tunesmith.work import Work

    plan = make_plan({
        "task": {"name": "classify", "text": "text", "label": "label", "max_tokens": 32}, "base": "minilm",
        "data": {"train": str(data), "validation": 0.0005, "test": 0.0005}, "method": "lora",
        "train": {"epochs": 1, "max_steps": steps, "batch": 32, "log_every": "5 steps"},
    })  # fmt: skip
    found, progress = find("minilm"), Progress()
    plan = fitted(plan, found)
    watch.part("start")
    prepared = prepare(plan, progress)
    watch.part("prepare")
    run = Run(data.parent / "run")
    run.path.mkdir()
    work = Work(run, prepared, found, progress, Stop(), time.monotonic(), [])
    model, encoded = begin(work)
    watch.part("begin")
    state = learn(work, model, encoded)
    watch.part("learn")
    rows, seconds = len(prepared.ledger), {k: v["seconds"] for k, v in watch.parts.items()}
    return {
        "anon_mb": watch.peak("anon"), "mapped_mb": watch.peak("mapped"),
        "rows_per_second": round(rows / sum(seconds.values())), "steps": state.step,
        "kept": {name: len(e) for name, e in encoded.items()}, "tokens": int(sum(len(e.ids.flat) for e in encoded.values())),
        "parts": watch.parts, "python": platform.python_version(), "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip


class Watch:
    """Peaks of memory of this process by part of the work, sampled from another thread."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, float]] = {}
        self._now = {"anon": 0.0, "mapped": 0.0}
        self._began = time.monotonic()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            for name, value in memory().items():
                self._now[name] = max(self._now[name], value)
            time.sleep(0.05)

    def part(self, name: str) -> None:
        """A part of the work is done."""
        now = time.monotonic()
        self.parts[name] = {"seconds": round(now - self._began, 1)} | {k: round(v, 1) for k, v in self._now.items()}
        self._now, self._began = {"anon": 0.0, "mapped": 0.0}, now

    def peak(self, name: str) -> float:
        """The largest value over all parts."""
        return max(part[name] for part in self.parts.values())


def memory() -> dict[str, float]:
    """MB that this process holds now: anonymous, and mapped from files (shared memory included)."""
    found = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    size = {name: int(found[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile", "RssShmem")}
    return {"anon": size["RssAnon"], "mapped": size["RssFile"] + size["RssShmem"]}


if __name__ == "__main__":
    sys.exit(main())

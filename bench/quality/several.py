"""Several tasks on one backbone, real tweets: `python bench/quality/several.py [PENALTY …]`, a line in results/.

Emotion (4 classes), irony and offence (2 each) of TweetEval (Barbieri et al. 2020), a few hundred rows of each, one
`minilm` with its top two blocks moving over a trunk that is run once. The product itself trains each task alone, too, and
tests who was helped or hurt. `--rows N` training rows a task (300), `--seeds N` runs (1).
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from sets import DATA

RESULTS = Path(__file__).parent / "results"
TASKS = ("emotion", "irony", "offensive")
SPLITS = {"train": "train", "validation": "val", "test": "test"}


def main() -> None:
    """Measure, and append what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("penalties", nargs="*", help="uncertainty, gradnorm, pcgrad; none without")
    parser.add_argument("--rows", type=int, default=300, help="training rows of each task")
    parser.add_argument("--seeds", type=int, default=1, help="runs, seeds counting from 0")
    asked = parser.parse_args()
    for seed in range(asked.seeds):
        with tempfile.TemporaryDirectory() as folder:
            line = measured(Path(folder), asked.penalties, asked.rows, seed)
        with (RESULTS / "several.jsonl").open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        print(line["penalties"], line["metrics"]["joint"], line["alone"], line["groups"], flush=True)


def measured(folder: Path, penalties: list[str], rows: int, seed: int) -> dict[str, Any]:
    """A whole run with its single-task runs."""
    from tunesmith.flows import train_plan
    from tunesmith.plan_text import make_plan
    from tunesmith.progress import Progress

    tasks = {name: files(folder, name, rows) for name in TASKS}
    plan = make_plan(
        {
            "task": {"name": "multi", "alone": True, "tasks": tasks}, "base": "minilm", "penalties": penalties,
            "method": {"name": "layers", "top": 2}, "run": str(folder / "run"),
            "train": {"epochs": 6, "batch": 32, "seed": seed}, "evaluate": {"baselines": ["majority", "tfidf"]},
        }
    )  # fmt: skip
    reply = train_plan(plan, progress=Progress(silent=True)).reply
    found = json.loads((folder / "run" / "metrics.json").read_text())
    return {
        "set": "tweeteval", "tasks": list(TASKS), "method": "layers", "penalties": penalties, "rows": rows, "seed": seed,
        "metrics": reply["metrics"]["test"], "baselines": {b: t["test"] for b, t in found["baselines"].items()},
        "cosines": found["together"]["cosines"], "alone": found["together"]["alone"],
        "groups": found["together"]["groups"], "seconds": reply["seconds"],
    }  # fmt: skip


def files(folder: Path, name: str, rows: int) -> dict[str, Any]:
    """The first rows of each split of a task as files, and the settings that read them."""
    made: dict[str, Any] = {"name": "classify", "text": "text", "label": "label", "max_tokens": 64}
    source = DATA / "tweeteval" / name
    for split, short in SPLITS.items():
        texts, labels = (
            (source / f"{short}_{what}.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
            for what in ("text", "labels")
        )
        count = rows if split == "train" else 2 * rows
        path = folder / f"{name}-{split}.jsonl"
        lines = [json.dumps({"text": t, "label": y}) for t, y in zip(texts, labels, strict=True)][:count]
        path.write_text("\n".join(lines) + "\n")
        made["file" if split == "train" else split] = str(path)
    return made


if __name__ == "__main__":
    main()

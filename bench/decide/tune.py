"""Does a search find what a grid of four times its budget finds? On a real set, with real training.

    python bench/decide/tune.py mwo --trials 8                    -> a line in results.jsonl
    python bench/decide/tune.py mwo --trials 8 --engine ray

The search is that of the plan below; the grid has four times as many points, evenly spread over the same space, all
trained to the end on the same rows. Both are picked on validation rows and judged on the same test rows.
"""

import argparse
import csv
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith import flows
from tunesmith.evaluation.judge import Judge
from tunesmith.files import append_line
from tunesmith.progress import Progress, Stop
from tunesmith.search.attempt import FACTS, advance, answered, higher_is_better
from tunesmith.search.ground import Ground
from tunesmith.search.tuning.space import Space
from tunesmith.tasks import Facts

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "quality"))
SPACE = {"train.lr": {"log": [5e-5, 5e-3]}, "method.r": {"choice": [2, 4, 8, 16]}}


def main() -> int:
    """Search, walk the grid, and write down both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", help="a set of bench/quality/sets.py")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--engine", default="optuna", choices=["optuna", "ray"])
    parser.add_argument("--method", default="lora")
    parser.add_argument("--rows", type=int, default=None, help="learn from and hold out the first so many rows alone")
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--out", type=Path, default=Path("runs") / "bench-tune")
    asked = parser.parse_args()
    tree = plan_of(asked)
    began = time.monotonic()
    reply = flows.tune(tree | {"search": {"trials": asked.trials, "engine": asked.engine, "space": SPACE,
                                          "untuned": False}}, progress=Progress())  # fmt: skip
    search = {"seconds": time.monotonic() - began, "cpu_seconds": reply["cpu_seconds"],
              "validation": reply["best"]["value"], "test": reply["worth"]["test"], "settings": reply["best"]["settings"],
              "steps_of_whole_trials": sum(t["share"] for t in reply["tried"])}  # fmt: skip
    grid = walked(tree, 4 * asked.trials, asked.out / "grid")
    line = {"what": "tune", "set": asked.set, "method": asked.method, "rows": asked.rows, "engine": asked.engine,
            "trials": asked.trials, "search": search, "grid": grid,
            "gain": search["validation"] - grid["validation"]}  # fmt: skip
    append_line(HERE / "results.jsonl", line)
    print(json.dumps(line, indent=1))
    return 0


def plan_of(asked: argparse.Namespace) -> dict[str, Any]:
    """The plan of a set, with its rows in a file."""
    from sets import SETS  # type: ignore[import-not-found, unused-ignore]

    found = SETS[asked.set]
    rows = found.read()[0][: asked.rows]
    asked.out.mkdir(parents=True, exist_ok=True)
    file = asked.out / f"{asked.set}.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    train = dict(found.train) | ({"epochs": asked.epochs} if asked.epochs else {})
    return {"task": found.task, "base": "minilm", "data": {"train": str(file), "validation": 0.2, "test": 0.2},
            "method": {"name": asked.method}, "train": train,
            "run": str(asked.out / f"{asked.engine}-{asked.trials}")}  # fmt: skip


def walked(tree: dict[str, Any], points: int, folder: Path) -> dict[str, Any]:
    """Train every point of the grid to its end; the best on validation rows."""
    from tunesmith.search.tuning.space import put

    ranged = json.loads(json.dumps({k: v for k, v in tree.items() if k != "run"}))
    for path, given in SPACE.items():
        put(ranged, path, given)
    space = Space(ranged)
    ranges = space.ranges()
    ground, began = Ground(Progress(silent=True), Stop()), (time.monotonic(), time.process_time())
    rates = points // len(ranges["method.r"].labels)
    low, high = ranges["train.lr"].ends
    lrs = np.logspace(np.log10(float(low or 0)), np.log10(float(high or 0)), rates)
    found = []
    for number, (lr, r) in enumerate(itertools.product(lrs, ranges["method.r"].labels)):
        values = {"train.lr": float(lr), "method.r": r}
        plan = flows.planned(space.filled(values), ground)
        standing = advance(ground, plan, folder / f"{number:04d}")
        print(f"grid {number + 1} of {points}: {values} {standing.value}", file=sys.stderr)
        if standing.value is not None:
            found.append((standing.value if higher_is_better(plan) else -standing.value, number, plan, values))
    worth, number, plan, values = max(found, key=lambda each: each[0])
    place = folder / f"{number:04d}"
    facts = Facts.model_validate(json.loads((place / FACTS).read_text(encoding="utf-8")))
    test = Judge(plan, facts).full(answered(ground, plan, place, "test"))[plan.best_metric]
    return {"points": len(lrs) * len(ranges["method.r"].labels), "validation": abs(worth), "test": test,
            "settings": values, "seconds": time.monotonic() - began[0],
            "cpu_seconds": time.process_time() - began[1]}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())

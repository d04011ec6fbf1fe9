"""Does a race name the right method, and what does it save? `python bench/decide/race.py SET --budget 20m`.

    race      all methods of the set (or those named) within the budget, with their other settings
    confirm   every method as it stands trained to the end on the same rows, one after another, with as many seeds

Regret is the best method's test value when all are trained to the end, minus that of the recommended one, in points of the
metric; the recommended one's is of its own full training, or from the race where it has other settings than the defaults. Time is wall seconds of the race against those of all full trainings, and against those of the whole
grid (each arm at the rate of its first look). Lines go into race.jsonl, a line a race; what is there is not measured
again, and a race that was cut off goes on. `--table` prints them as Markdown. Real weights (minilm), sets of
bench/quality/sets.py; the budget is wall time, so that figures want an idle machine.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "quality"))

import numpy as np
from sets import SETS, Set, Split

STORE = Path(__file__).parent / "race.jsonl"
METHODS = ("full", "head", "layers", "gradual", "lora", "adapter", "prefix", "ptuning", "prompt", "bitfit", "ia3",
           "lora+bitfit")  # fmt: skip
LEARNING = ("epochs", "batch", "lr")
"""Settings of a set that are of its training; how often it looks up and what it keeps are the race's."""


def main() -> int:
    """Race, confirm, write a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=sorted(SETS), nargs="?")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--budget", default="20m")
    parser.add_argument("--split", type=int, default=0, help="fold or seed of the set")
    parser.add_argument("--rows", type=int, default=None, help="at most so many training rows")
    parser.add_argument("--seeds", type=int, default=3, help="of finalists in the race")
    parser.add_argument("--confirm", type=int, default=1, help="seeds of every full training")
    parser.add_argument("--no-grid", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench-race"))
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    if asked.table or asked.set is None:
        print(table([json.loads(line) for line in STORE.read_text().splitlines()]))
        return 0
    about, key = SETS[asked.set], f"{asked.set} {asked.split} {asked.rows} {asked.budget} {'+'.join(asked.methods)}"
    if STORE.is_file() and any(json.loads(line)["key"] == key for line in STORE.read_text().splitlines()):
        print(f"{key}: measured already")
        return 0
    split = list(about.splits(folds=asked.split + 1, seeds=asked.split + 1, rows=asked.rows))[asked.split]
    plan = plan_of(about, split, asked.folder / key.replace(" ", "-"))
    line = {"key": key, "set": asked.set, "split": split.name, "budget": asked.budget, **measured(plan, asked)}
    with STORE.open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    print(table([line]))
    return 0


def plan_of(about: Set, split: Split, folder: Path) -> Any:
    """The rows of the split as files, and the plan on them; a tenth of the training rows is for validation."""
    from tunesmith.plan_text import make_plan

    folder.mkdir(parents=True, exist_ok=True)
    learn = {record.id: record for record in [*split.train, *split.validation]}.values()
    for name, records in (("train", learn), ("test", split.test)):
        lines = [json.dumps(record.cells, ensure_ascii=False) for record in records]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tree = about.plan("lora", split)
    files = {"train": str(folder / "train.jsonl"), "validation": 0.1, "test": str(folder / "test.jsonl")}
    train = {name: value for name, value in tree["train"].items() if name in LEARNING}
    return make_plan({"task": tree["task"], "base": tree["base"], "data": files, "method": "lora", "train": train,
                      "steps": [], "run": str(folder / "run")})  # fmt: skip


def measured(plan: Any, asked: argparse.Namespace) -> dict[str, Any]:
    """What the race said, and what full trainings say."""
    from tunesmith.flows import race

    began = time.monotonic()
    reply = race(plan, asked.methods, budget=asked.budget, seeds=asked.seeds, grid=not asked.no_grid)
    took = time.monotonic() - began if reply["status"] == "done" else reply["seconds"]
    by = {line["arm"]: line for line in reply["ranking"]}
    whole = {m: full(plan, m, asked.confirm, Path(reply["folder"]).with_name("confirm")) for m in asked.methods}
    name = reply["recommended"]
    won = None if name is None else by[name]["test"]["value"]
    if name in whole:  # as it stands: the seeds of the confirmation, as those of the best
        won = float(np.mean(whole[name]["values"]))
    sign = 1 if reply["better"] == "higher" else -1
    best = max(whole, key=lambda name: sign * np.mean(whole[name]["values"]))
    grid = [line["forecast"]["seconds"] for line in by.values() if line["forecast"] and line["forecast"]["seconds"]]
    return {
        "metric": reply["metric"], "points": 1 if reply["better"] == "lower" else 100, "recommended": reply["recommended"],
        "value": won, "best": best, "best_value": float(np.mean(whole[best]["values"])),
        "regret": None if won is None else sign * (float(np.mean(whole[best]["values"])) - won),
        "race_seconds": took, "one_after_another": sum(sum(w["seconds"]) / len(w["seconds"]) for w in whole.values()),
        "grid_forecast": sum(grid), "whole": whole, "said": reply["said"],
        "ranking": [{k: line[k] for k in ("arm", "fate", "reason", "test", "seconds")} for line in reply["ranking"]],
    }  # fmt: skip


def full(plan: Any, method: str, seeds: int, folder: Path) -> dict[str, Any]:
    """A method as it stands, trained to the end on the rows of the race: test values and wall seconds, by seed."""
    from tunesmith.bases.find import find
    from tunesmith.flows import fitted
    from tunesmith.progress import Progress, Stop
    from tunesmith.search.attempt import advance, answered
    from tunesmith.search.ground import Ground
    from tunesmith.search.racing import field_of, looked_often, metric_of

    found, ground = find(plan.base.name), Ground(Progress(silent=True), Stop(), rows_seed=plan.train.seed)
    rows = len(ground.work(fitted(plan, found), folder, 0.0).prepared.splits["train"])
    arm = field_of(looked_often(plan, rows), [method], lambda each: fitted(each, found), grid=False).arms[0]
    values, seconds = [], []
    for seed in range(plan.train.seed, plan.train.seed + seeds):
        own = arm.with_seed(seed, None)
        state = advance(ground, own, folder / arm.folder / str(seed))
        answers = answered(ground, own, folder / arm.folder / str(seed), "test")
        values.append(float(metric_of(plan).measure(answers, np.ones((1, answers.rows)))[0]))
        seconds.append(state.seconds)
        print(f"confirm: {method}, seed {seed}: {values[-1]:.4f} in {seconds[-1]:.0f} s", flush=True)
    return {"values": values, "seconds": seconds}


def table(lines: list[dict[str, Any]]) -> str:
    """As Markdown."""
    head = [
        "set",
        "budget",
        "race",
        "all, one after another",
        "grid, one after another",
        "recommended",
        "best",
        "regret",
    ]
    rows = [head, ["---"] * len(head)]
    for line in lines:
        regret = "–" if line["regret"] is None else f"{line['regret'] * line['points']:.1f}"
        rows.append([
            f"{line['set']}, {line['split']}", line["budget"], f"{line['race_seconds']:.0f} s",
            f"{line['one_after_another']:.0f} s", f"{line['grid_forecast']:.0f} s", str(line["recommended"]),
            f"{line['best']} ({line['best_value']:.3f})", regret,
        ])  # fmt: skip
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    sys.exit(main())

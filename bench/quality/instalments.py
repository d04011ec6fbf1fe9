"""Learning in instalments on real tweets: `python bench/quality/instalments.py [ARM …] [--seeds 5] [--first 0]`.

Three instalments of 240 tweets from TweetEval (Barbieri et al. 2020), each with labels of its own: emotions (4), irony (2),
offence (2). A model answers with all labels it has met, and nobody tells it which instalment a tweet is from. Judged after
each instalment on 150 held-out tweets of each so far. On `minilm`, its highest block, 6
epochs of steps of 32 rows; the seed draws the rows, too, and arms of a seed share their first instalment.

    plain    the second and third instalment learn from their own rows alone
    joint    no instalments: all rows of all three at once, as often (only accuracy at the end can be told of it)
    replay   three rows in ten are old ones, out of at most 200 that the version kept (the settings of docs/instalments.md)

Nothing is tuned: seed 100 showed that the script runs, and that it had to be smaller. A line for each arm and seed goes into results/instalments.jsonl.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
from sets import DATA, _records

RESULTS = Path(__file__).parent / "results" / "instalments.jsonl"
TOPICS = {
    "emotion": ("anger", "joy", "optimism", "sadness"), "irony": ("no irony", "irony"),
    "offensive": ("no offence", "offence"),
}  # fmt: skip
"""Instalments in their order, and what the numbers in their files mean."""
LEARNT, JUDGED, KEPT = 240, 150, 200
ARMS: dict[str, dict[str, Any]] = {"plain": {}, "replay": {"share": 0.3}, "joint": {}}


def main() -> None:
    """Measure what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arms", nargs="*", help=f"of {', '.join(ARMS)}; all without")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="number of the first seed")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    known = [json.loads(line) for line in asked.out.read_text().splitlines()] if asked.out.is_file() else []
    have = {(line["arm"], line["seed"]) for line in known}
    for seed in range(asked.first, asked.first + asked.seeds):
        arms = [arm for arm in asked.arms or ARMS if (arm, seed) not in have]
        with tempfile.TemporaryDirectory() as folder:
            for line in measured(Path(folder), arms, seed) if arms else ():
                with asked.out.open("a") as stream:
                    stream.write(json.dumps(line) + "\n")
                shown = {k: line[k] for k in ("arm", "seed", "forgetting", "backward_transfer", "seconds")}
                print(shown, line["values"], flush=True)


def measured(folder: Path, arms: list[str], seed: int) -> list[dict[str, Any]]:
    """All arms with one seed, from one first instalment."""
    files = {topic: written(folder, topic, seed) for topic in TOPICS}
    first, *later = TOPICS
    lines = [at_once(folder, files, seed)] if "joint" in arms else []
    if not (arms := [arm for arm in arms if arm != "joint"]):
        return lines
    began = learnt(folder / "first", "minilm", files[first], seed, {})
    for arm in arms:
        found, base, seconds = began, folder / "first", began["seconds"]
        for topic in later:
            run = folder / f"{arm} {topic}"
            found = learnt(run, str(base / "model"), files[topic], seed, ARMS[arm])
            base, seconds = run, seconds + found["seconds"]
        matrix = found["instalments"]
        values = [[round(cell["value"], 4) for cell in row] for row in matrix["values"]]
        lines.append(
            {"set": "tweeteval", "arm": arm, "seed": seed, "metric": matrix["metric"], "values": values,
             "forgetting": matrix["forgetting"], "backward_transfer": matrix["backward_transfer"],
             "accuracy": float(np.mean(values[-1])), "seconds": round(seconds, 1)}
        )  # fmt: skip
    return lines


def at_once(folder: Path, files: dict[str, dict[str, str]], seed: int) -> dict[str, Any]:
    """All instalments in one training."""
    from tunesmith import instalments
    from tunesmith.earlier import NOTHING
    from tunesmith.model import load

    everything = {"train": [each["train"] for each in files.values()], "test": next(iter(files.values()))["test"]}
    found = learnt(folder / "joint", "minilm", everything, seed, {})
    model, values = load(folder / "joint" / "model"), []
    for each in files.values():
        rows = [json.loads(line) for line in Path(each["test"]).read_text().splitlines()]
        told = instalments.judged(model, NOTHING, _records(rows, range(len(rows))), "joint")
        values.append(round(told["values"][0][0]["value"], 4))
    return {
        "set": "tweeteval", "arm": "joint", "seed": seed, "metric": "accuracy", "values": [values], "forgetting": None,
        "backward_transfer": None, "accuracy": float(np.mean(values)), "seconds": round(found["seconds"], 1),
    }  # fmt: skip


def learnt(folder: Path, base: str, files: dict[str, Any], seed: int, replay: dict[str, Any]) -> dict[str, Any]:
    """One instalment, saved into the folder with the rows it keeps: what holds on all so far, and CPU seconds of
    training. The parts of a job that change nothing here (baselines, proof, report) are left out."""
    from tunesmith import earlier, instalments
    from tunesmith.evaluation.judge import Judge
    from tunesmith.model import build, facts_for, save
    from tunesmith.plan_text import make_plan
    from tunesmith.prepare import prepare
    from tunesmith.training.given import Job
    from tunesmith.training.loop import Loop

    asked = make_plan(
        {
            "task": {"name": "classify", "text": "text", "label": "label", "max_tokens": 64, "metrics": ["accuracy"]},
            "base": base, "data": files, "method": {"name": "layers", "top": 1}, "engine": {"cache": "memory"},
            "replay": {"keep": KEPT, **replay}, "evaluate": {"resamples": 100},
            "train": {"epochs": 6, "batch": 32, "seed": seed, "keep": "last", "evaluate_every": "6 epochs",
                      "patience": None},
        }
    )  # fmt: skip
    found = asked.base.found()
    before = earlier.earlier_in(found.folder, found.name)
    prepared = prepare(asked, before=before)
    plan, splits, tokenizer = prepared.plan, prepared.splits, asked.task.processor(found)
    facts = facts_for(plan, splits["train"], prepared.roles, found, tokenizer)
    model = build(plan, facts, found, tokenizer)
    train, held = (model.encode(splits[name], prepared.roles) for name in ("train", "validation"))
    judge = Judge(plan, facts)
    state = Loop(Job(model, train, held, lambda lo: judge.quick(lo, held), folder, save=False)).run()
    own = instalments.own_test(splits, KEPT)
    matrix = instalments.judged(model, before, own, folder.name)
    save(model, folder / "model")
    earlier.keep(folder / "model", KEPT, splits["train"], before, own, matrix)
    return {"instalments": matrix, "seconds": state.cpu_seconds}


def written(folder: Path, topic: str, seed: int) -> dict[str, str]:
    """Rows of an instalment as files, drawn by the seed: those to learn from, and those to be judged on."""
    made = {}
    for number, (split, count) in enumerate((("train", LEARNT), ("test", JUDGED))):
        texts, labels = (
            (DATA / "tweeteval" / topic / f"{split}_{what}.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
            for what in ("text", "labels")
        )
        rows = [{"text": t, "label": TOPICS[topic][int(y)]} for t, y in zip(texts, labels, strict=True)]
        chosen = np.random.default_rng([seed, number]).permutation(len(rows))[:count]
        path = folder / f"{topic}-{split}.jsonl"
        path.write_text("".join(json.dumps(rows[i]) + "\n" for i in chosen))
        made[split] = str(path)
    return made


if __name__ == "__main__":
    main()

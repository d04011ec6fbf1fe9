"""Two domains on real data: `python bench/quality/domain.py [ARM …]`, a line for each arm and seed in results/domain.jsonl.

Films to tweets: 300 film reviews of sst2, good or bad, are the source; tweets of tweeteval/emotion the target, where joy
and optimism count as good, anger and sadness as bad. 300 tweets without a label, 100 with one; 700 are judged on.

Every arm runs for the same number of steps of 32 rows, on `minilm`, its two highest blocks. A seed draws the rows, too.

    pretrained             the source alone, on a base that first read 3,000 of the tweets with words hidden (task `masked`,
                           method full, a new head, one epoch), as docs/tasks/domain.md tells; its head reads means
    source alone, means    the same without that reading: what `pretrained` is to be compared with, and measured with it
"""

import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
from sets import DATA, SETS, _records

RESULTS = Path(__file__).parent / "results" / "domain.jsonl"
SEEDS = 5
SOURCE, HELD, BARE, LABELLED, JUDGED = 300, 100, 300, 100, 700
ARMS: dict[str, tuple[list[Any], bool, bool]] = {
    "source alone": ([], False, False), "mix": ([], True, False), "dann": (["dann"], False, True),
    "dann, strength 1": ([{"name": "dann", "strength": 1.0}], False, True), "coral": (["coral"], False, True),
    "mmd": (["mmd"], False, True), "mix + mmd": (["mmd"], True, True),
    "source alone, means": ([], False, False), "pretrained": ([], False, False),
}  # fmt: skip
"""Penalties; whether rows of the target with a label, and without one, take part."""
BESIDE = {"pretrained": "source alone, means"}
"""Arms whose head reads means, with what each is compared with."""
TWEETS = 3000
"""Tweets that are read with words hidden."""
GOOD = {"0": "bad", "1": "good", "2": "good", "3": "bad"}
Rows = list[dict[str, Any]]


def main() -> None:
    """Measure what is not there yet."""
    from tunesmith import adapting

    known = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.is_file() else []
    have = {(line["arm"], line["seed"]) for line in known}
    arms = [each for arm in sys.argv[1:] or list(ARMS) for each in (*filter(None, [BESIDE.get(arm)]), arm)]
    arms = list(dict.fromkeys(arms))
    films, tweets, judged = films_and_tweets()
    for seed in range(SEEDS):
        for arm in arms:
            if (arm, seed) in have:
                continue
            with tempfile.TemporaryDirectory() as folder:
                read = read_before(Path(folder), tweets, seed) if arm in BESIDE else {}
                base = str(read.pop("base", "minilm"))
                found = measured(adapting, arm, seed, films, tweets, judged, base)
            line = {"set": "films to tweets", "arm": arm, "seed": seed, **found, **read}
            with RESULTS.open("a") as stream:
                stream.write(json.dumps(line) + "\n")
            print(arm, seed, line["metrics"]["macro_f1"], line["distance"], f"{line['seconds']:.0f} s", flush=True)


def films_and_tweets() -> tuple[Rows, Rows, Rows]:
    """(film reviews, tweets to learn from, tweets to be judged on)."""

    def tweets(name: str) -> Rows:
        texts, labels = (
            (DATA / "tweeteval" / "emotion" / f"{name}_{what}.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
            for what in ("text", "labels")
        )
        return [{"text": t, "label": GOOD[y]} for t, y in zip(texts, labels, strict=True)]

    films = [{"text": r["text"], "label": {"0": "bad", "1": "good"}[r["label"]]} for r in SETS["sst2"].read()[0]]
    return films, tweets("train"), tweets("test")[:JUDGED]


def read_before(folder: Path, tweets: Rows, seed: int) -> dict[str, Any]:
    """`minilm` after an epoch of tweets with words hidden: where it is saved, CPU seconds of training, and the mean loss of
    a hidden word in 100 other tweets before and after."""
    from tunesmith.bases.load import load_tokenizer
    from tunesmith.model import build, facts_for, save
    from tunesmith.plan_text import make_plan
    from tunesmith.training.given import Job
    from tunesmith.training.loop import Loop

    plan = make_plan({
        "task": {"name": "masked", "text": "text", "head": "new", "max_tokens": 64}, "base": "minilm",
        "data": "unused.csv", "method": "full",
        "train": {"seed": seed, "batch": 32, "epochs": 1, "patience": None, "evaluate_every": "1 epoch"},
    })  # fmt: skip
    order = np.random.default_rng([seed, 9]).permutation(len(tweets))
    rows, others = _records(tweets, order[:TWEETS]), _records(tweets, order[TWEETS : TWEETS + 100])
    found, roles = plan.base.found(), plan.task.roles()
    tokenizer = load_tokenizer(found)
    model = build(plan, facts_for(plan, rows, roles, found, tokenizer), found, tokenizer)
    train, held = model.encode(rows, roles), model.encode(others, roles)
    before = plan.task.mean_loss(model.outputs(held), held)
    state = Loop(Job(model, train, held, lambda _: {plan.best_metric: 0.0}, folder, save=False)).run()
    save(model, folder / "model")
    told = {"before": before, "after": plan.task.mean_loss(model.outputs(held), held), "steps": state.step}
    return {"base": folder / "model", "reading_seconds": state.cpu_seconds, "reading": told}


def measured(
    adapting: Any, arm: str, seed: int, films: Rows, tweets: Rows, judged: Rows, base: str = "minilm"
) -> dict[str, Any]:
    """One arm with one seed."""
    from tunesmith.bases.load import load_tokenizer
    from tunesmith.evaluation.judge import Judge, answers_of
    from tunesmith.model import build
    from tunesmith.plan_text import make_plan
    from tunesmith.training.given import Job
    from tunesmith.training.loop import Loop

    penalties, own, bare = ARMS[arm]
    inner = {
        "name": "classify",
        "text": "text",
        "label": "label",
        "max_tokens": 64,
        "metrics": ["macro_f1", "accuracy"],
        "pool": "mean" if arm in (*BESIDE, *BESIDE.values()) else "base",
    }
    plan = make_plan({
        "task": {"name": "domain", "task": inner, "target": "unused.csv"}, "base": base, "data": "unused too.csv",
        "method": {"name": "layers", "top": 2}, "penalties": penalties, "engine": {"cache": "memory"},
        "train": {"seed": seed, "batch": 32, "epochs": 5, "patience": None, "evaluate_every": "5 epochs"},
    })  # fmt: skip
    task, roles = plan.task, plan.task.roles()
    source = _records(films, np.random.default_rng([seed, 7]).permutation(len(films))[: SOURCE + HELD])
    target = _records(tweets, np.random.default_rng([seed, 8]).permutation(len(tweets))[: LABELLED + BARE])
    found = plan.base.found()
    tokenizer = load_tokenizer(found)
    learn = source[:SOURCE] + (target[:LABELLED] if own else [])
    facts = task.study(learn, roles)
    model = build(plan, facts, found, tokenizer)
    fresh = build(plan, facts, found, tokenizer)
    train, held, test = (
        model.encode(rows, roles) for rows in (learn, source[SOURCE:], _records(judged, range(len(judged))))
    )
    without = model.encode(target[LABELLED:], task.roles(labelled=False)) if bare else None
    if own or bare:
        lessons = task.lessons(train, np.arange(len(learn)) >= SOURCE, without, looked_at=bare)
    else:  # as many rows an epoch as the others have
        from tunesmith.tasks._blend import Blend

        lessons = replace(
            train, blend=Blend((np.arange(SOURCE),), (round(SOURCE / 0.7),)), target=np.zeros(SOURCE, bool)
        )
    judge = Judge(plan, facts)
    state = Loop(Job(model, lessons, held, lambda lo: judge.quick(lo, held), Path(), save=False)).run()
    outputs = model.outputs(test)
    rows = adapting.domains(held, lessons, test)

    def apart(each: Any) -> float | None:
        parts = adapting.states(each, rows[0], rows[1]), adapting.states(each, rows[2], rows[3])
        value: float | None = adapting.distance(*parts, seed, 0.95)["value"]
        return value

    answers = answers_of(task, outputs, test, facts)
    return {
        "metrics": judge.quick(outputs, test), "source": judge.quick(model.outputs(held), held), "steps": state.step,
        "seconds": state.cpu_seconds, "distance": {"before": apart(fresh), "after": apart(model)},
        "predicted": answers.predicted.tolist(), "truth": answers.truth.tolist(),
    }  # fmt: skip


if __name__ == "__main__":
    main()

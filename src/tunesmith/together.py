"""What several tasks were to each other: how their gradients went along, who was helped and who hurt, which to group.

Each task trained alone (`task.alone`) starts from the same base, sees the same rows of its own as often as in the whole
run, and is judged on the same held-out rows: the difference is that of sharing a backbone. Tests are paired, p-values
corrected for the number of tasks (Holm 1979).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.evaluation.grouping import gain, grouped, mean_cosines
from tunesmith.evaluation.judge import Judge, answers_of
from tunesmith.evaluation.significance import holm, paired_bootstrap
from tunesmith.files import read_json, write_json
from tunesmith.metrics import METRICS, Answers
from tunesmith.model import Model, build
from tunesmith.plan import Plan
from tunesmith.prepared import Prepared
from tunesmith.progress import Progress, Stop
from tunesmith.tasks import Encoded, Share
from tunesmith.training.given import Job
from tunesmith.training.loop import Loop

ALPHA = 0.05
FOLDER = "alone"


@dataclass(frozen=True)
class Whole:
    """A run on several tasks that has been trained."""

    model: Model
    prepared: Prepared
    encoded: Mapping[str, Encoded]
    answers: Answers
    """On the split that counts."""
    split: str
    folder: Path
    """The run folder."""
    decide: Callable[[Model, Encoded], Model]
    """Chooses thresholds on validation rows."""
    progress: Progress
    stop: Stop


def together(whole: Whole) -> dict[str, Any] | None:
    """{names, cosines, looks, alone, groups}: for metrics.json; None where there is one task."""
    parts = whole.model.plan.task.parts(whole.model.facts)
    if not parts:
        return None
    lines = (whole.folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
    seen = mean_cosines(json.loads(line) for line in lines)
    beside = _alone(whole, parts) if getattr(whole.model.plan.task, "alone", False) else None
    hurt = [name for name, one in (beside or {}).items() if one["verdict"] == "hurt"]
    groups = None if seen is None else grouped(seen["names"], np.array(seen["cosines"]), hurt)
    return {"names": [part.name for part in parts], **(seen or {"cosines": None, "looks": 0}), "alone": beside,
            "groups": groups}  # fmt: skip


def _alone(whole: Whole, parts: list[Share]) -> dict[str, Any]:
    """Each task beside itself trained alone."""
    found = {part.name: _one(whole, part) for part in parts}
    for one, p in zip(found.values(), holm([one["p"] for one in found.values()]), strict=True):
        better = gain(one["metric"], one["difference"]["value"])
        one["adjusted"] = p
        one["verdict"] = "cannot tell" if p >= ALPHA or not better else "helped" if better > 0 else "hurt"
    return found


def _one(whole: Whole, part: Share) -> dict[str, Any]:
    """{metric, together, alone, difference, p, steps} of one task; kept, so that a kill costs one of them at most."""
    file = whole.folder / FOLDER / f"{part.name}.json"
    if file.is_file():
        return dict(read_json(file))
    own = {split: part.own(each) for split, each in whole.encoded.items()}
    plan = _plan(whole, part, len(own["train"]))
    whole.progress.say(f"training {part.name} alone: {plan.train.max_steps} steps")
    model = _trained(whole, part, plan, own)
    mine = whole.answers.parts[part.name].answers
    theirs = answers_of(part.task, model.outputs(own[whole.split]), own[whole.split], model.facts)
    metric, asked = part.task.metrics[0], plan.evaluate
    found = asdict(
        paired_bootstrap(
            METRICS.make(metric), mine, theirs, resamples=asked.resamples, seed=plan.train.seed, level=asked.level
        )
    )
    values = {name: float(METRICS.make(metric).measure(each, np.ones((1, each.rows)))[0])
              for name, each in (("together", mine), ("alone", theirs))}  # fmt: skip
    one = {
        "metric": metric, **values, "difference": {k: found[k] for k in ("value", "low", "high")}, "p": found["p"],
        "steps": plan.train.max_steps, "rows": mine.rows,
    }  # fmt: skip
    file.parent.mkdir(exist_ok=True)
    write_json(file, one)
    return one


def _plan(whole: Whole, part: Share, rows: int) -> Plan:
    """The same for one task: as many visits to its rows as it had among the others."""
    plan, train = whole.model.plan, whole.encoded["train"]
    shown = rows if train.blend is None else train.blend.counts[part.number]
    epochs = plan.epochs(len(train))
    steps = max(1, round(epochs * shown / plan.train.batch))
    if plan.train.max_steps is not None:
        steps = max(1, min(steps, round(plan.train.max_steps * shown / len(train))))
    turns = -(-steps * plan.train.batch // rows)
    settings = plan.train.model_copy(update={"max_steps": steps, "epochs": turns, "best": None})
    kept = tuple(each for each in plan.penalties if not each.of_several)
    judged = plan.evaluate.model_copy(update={"metrics": None})
    own = {"task": part.task, "train": settings, "penalties": kept, "evaluate": judged}
    return whole.prepared.apart()[part.name].plan.model_copy(update=own)


def _trained(whole: Whole, part: Share, plan: Plan, own: Mapping[str, Encoded]) -> Model:
    from tunesmith.engine.network import override_dropout

    model = build(plan, part.facts, whole.model.base, whole.model.tokenizer)
    if plan.train.dropout is not None:
        override_dropout(model.net, plan.train.dropout)
    by = Judge(plan, part.facts)
    job = Job(model, own["train"], own["validation"], lambda outputs: by.quick(outputs, own["validation"]),
              whole.folder, stop=whole.stop, save=False)  # fmt: skip
    Loop(job).run()
    return whole.decide(model, own["validation"])

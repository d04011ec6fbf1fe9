"""Classes told by their names, before and after tuning: what was gained, or what of the base was forgotten."""

from dataclasses import replace
from typing import Any

import numpy as np

from tunesmith.evaluation.intervals import intervals
from tunesmith.evaluation.significance import paired_bootstrap
from tunesmith.metrics import METRICS, Answers
from tunesmith.model import Model
from tunesmith.plan import Plan
from tunesmith.tasks._zero_shot import Classified


def measure(plan: Plan, asked: Classified, base: Model, model: Model) -> dict[str, Any]:
    """{rows, classes, file, before, after, difference: {value, low, high}, p}: accuracy on the same images."""
    metric, evaluate, seed = METRICS.make("accuracy"), plan.evaluate, plan.train.seed
    before = Answers("classes", asked.truth, asked.answers(base.outputs), labels=asked.labels)
    after = replace(before, predicted=asked.answers(model.outputs))
    how: dict[str, Any] = {"resamples": evaluate.resamples, "seed": seed, "level": evaluate.level}
    each = [intervals([metric], answers, **how)["accuracy"] for answers in (before, after)]
    gained = paired_bootstrap(metric, after, before, groups=None, **how)
    settings = getattr(plan.task, "zero_shot", None)
    return {
        "rows": len(asked.truth), "classes": list(asked.labels), "file": getattr(settings, "file", None),
        "before": _plain(each[0]), "after": _plain(each[1]), "difference": _plain(gained), "p": gained.p,
        "commonest": float(np.bincount(asked.truth).max() / len(asked.truth)),
    }  # fmt: skip


def _plain(found: Any) -> dict[str, float]:
    return {"value": float(found.value), "low": float(found.low), "high": float(found.high)}


def warning(found: dict[str, Any]) -> str | None:
    """What is to be said where the model classifies worse than its base, beyond chance."""
    if found["difference"]["high"] >= 0:
        return None
    return (
        f"zero-shot accuracy fell from {found['before']['value']:.1%} to {found['after']['value']:.1%}: the model "
        "forgot something that its base knew. Try task.towers: text, lora, a smaller train.lr, or penalties: [l2sp]"
    )

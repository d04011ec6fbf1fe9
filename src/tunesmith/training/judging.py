"""What a loop does when it looks up: validation metrics, the best weights so far, early stopping, warnings.

Shape letters: N rows, C outputs.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tunesmith.metrics import METRICS
from tunesmith.model import kept
from tunesmith.tasks import Array
from tunesmith.training import checkpoint as checkpoints
from tunesmith.training import conflict, watch
from tunesmith.training.given import finite, nothing

if TYPE_CHECKING:
    from tunesmith.training.loop import Loop


def evaluate(loop: "Loop") -> None:
    """Judge the validation rows, remember the weights if they are the best, stop early, warn; one journal line."""
    with loop.average.in_place(loop.moving) if loop.average else nothing():
        outputs_NC = loop.model.outputs(loop.job.validation)
        loop.in_training_mode = False
        loss = loop.model.plan.task.mean_loss(outputs_NC, loop.job.validation)
        values = {"validation_loss": loss, **loop.job.judge(outputs_NC)}
        loop.state.evaluations += 1
        values |= loop.terms.told()
        values["train_loss"] = loop.state.loss_sum / max(loop.state.loss_rows, 1e-9)
        loop.state.loss_sum = loop.state.loss_rows = 0.0
        _compare(loop, values)
    loop.evaluations.append({**values, "step": loop.state.step})
    loop.journal({"kind": "evaluation", "epoch": loop.state.step / loop.per_epoch, **finite(values)})
    if (found := conflict.seen(loop.model, loop.moving, loop.job.train)) is not None:
        loop.journal({"kind": "conflict", **found})
    loop.job.log(loop.state.step, values)
    _warn(loop, outputs_NC)


def _compare(loop: "Loop", values: Mapping[str, float]) -> None:
    """Remember the best weights; stop when they have not been beaten for `patience` evaluations."""
    name = loop.model.plan.best_metric
    value = values["validation_loss"] if name == "loss" else values[name]
    lower = name == "loss" or METRICS.find(name).better == "lower"
    best = loop.state.best_value
    if np.isfinite(value) and (best is None or (value < best if lower else value > best)):
        loop.state.best_value, loop.state.best_step, loop.state.stale = float(value), loop.state.step, 0
        _keep_best(loop, values)
        return
    loop.state.stale += 1
    if loop.asked.schedule == "plateau":
        loop.state.drops += 1
    if loop.asked.patience is not None and loop.state.stale >= loop.asked.patience:
        loop.state.finished = True
        loop.state.reason = f"no better {name} in {loop.state.stale} evaluations"


def _keep_best(loop: "Loop", values: Mapping[str, float]) -> None:
    if loop.asked.keep == "last":
        return
    if loop.job.save:
        about = {"step": loop.state.step, **finite(values)}
        checkpoints.write_best(loop.checkpoint_folder, loop.state.step, kept(loop.model), about)
    else:
        loop.best_in_memory = {n: p.detach().clone() for n, p in kept(loop.model).items()}


def _warn(loop: "Loop", outputs_NC: Array) -> None:
    found = [watch.overfitting(loop.evaluations, loop.asked.keep)]
    if loop.model.plan.task.kind == "classes":
        predicted, _ = loop.model.plan.task.answer(outputs_NC, loop.model.facts)
        found.append(watch.one_class(predicted, loop.model.facts.labels))
    for text in found:
        if text and text not in loop.state.warnings:
            loop.state.warnings.append(text)
            loop.job.progress.say(f"warning: {text}")

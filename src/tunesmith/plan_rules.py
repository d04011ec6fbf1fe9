"""Rules between the parts of a plan: what one setting asks of another. None of them loads anything."""

from typing import Any

from tunesmith.metrics import METRICS
from tunesmith.plan import Plan
from tunesmith.plan_tower import tower_objection
from tunesmith.settings import train_objections

_HEADLESS = ("embed", "language", "masked", "image_to_text")
"""Purposes of a network that has no head of ours, whatever the base; of others the optimizer finds out."""
RANGES = ("choice", "uniform", "log", "integer", "log_integer", "times")
"""What a range of `tune` begins with: {log: [1e-5, 1e-3]}."""


def is_range(node: Any) -> bool:
    """Whether a piece of a plan is meant as a range or a tie: one known word, with a list behind it."""
    if not isinstance(node, dict) or len(node) != 1:
        return False
    ((word, given),) = node.items()
    return word in RANGES and isinstance(given, (list, tuple))


def ranges_in(node: Any, path: str = "") -> list[str]:
    """Paths of the ranges in a plan's tree, the outermost of nested ones."""
    if is_range(node):
        return [path]
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    return [found for key, below in items for found in ranges_in(below, f"{path}.{key}".strip("."))]


def searched(tree: Any) -> list[str]:
    """A sentence for everything in a plan's tree that only `tune` understands."""
    found = [f"{path}: a range is for `tunesmith tune`; a plan that is trained has a value there"
             for path in ranges_in(tree)]  # fmt: skip
    if isinstance(tree, dict) and "search" in tree:
        found.append("search: this section is for `tunesmith tune`, whose best.yaml can be trained. Remove it")
    return found


def objections(plan: Plan) -> list[str]:
    """Every rule between parts that this plan breaks, each with its plan path. Costs no loading."""
    parts: list[tuple[str, Any]] = [("task", plan.task), ("base", plan.base), ("method", plan.method)]
    parts += [("replay", plan.replay), ("evaluate", plan.evaluate)]
    parts += [(f"steps.{i}", step) for i, step in enumerate(plan.steps)]
    parts += [(f"penalties.{i}", penalty) for i, penalty in enumerate(plan.penalties)]
    found = [f"{path}: {text}" for path, part in parts if (text := part.objection(plan))]
    if (fault := tower_objection(plan)) is not None:
        found.append(": ".join(fault))
    if plan.train.max_steps == 0 and not plan.task.untrained:
        found.append("train.max_steps: 0 steps leave a new head as it was drawn. Take at least 1, or, to classify with "
                     "the base as it is, task.readout: verbalizer")  # fmt: skip
    if (
        plan.train.head_lr is not None
        and plan.task.purpose("") in _HEADLESS
        and not getattr(plan.task, "vector", False)
    ):
        found.append(f"train.head_lr has no effect: {plan.task.name} reads what the base itself says and adds no head. "
                     "Set train.lr, or remove it")  # fmt: skip
    methods = getattr(plan.method, "parts", (plan.method,))
    if plan.train.checkpointing == "on" and not all(type(p).packs for p in methods):
        found.append(f"train.checkpointing: {plan.method.name} puts keys before each row, and a block that runs again "
                     "would put them there twice. Leave it on auto, or use prompt")  # fmt: skip
    if plan.train.batch_norm == "moving" and (text := _statistics_objection(plan)):
        found.append(f"train.batch_norm: {text}")
    return found + _metric_objections(plan) + train_objections(plan.train)


def _statistics_objection(plan: Plan) -> str | None:
    if not plan.task.sees:
        return "moving has no effect on a base that reads text: it has no batch norms. Remove it"
    if not type(plan.method).whole:
        return f"{plan.method.name} saves what it added to the base, and moved statistics would be lost. Use fixed"
    if plan.train.ema is not None:
        return "moving statistics belong to the last weights, and train.ema keeps an average. Remove one of the two"
    return None


def _fitting(plan: Plan) -> list[str]:
    """Metrics that this plan could ask for."""
    kind = plan.task.kind
    return [n for n in METRICS.names() if kind in METRICS.find(n).kinds and not METRICS.make(n).objection(plan)]


def _metric_objections(plan: Plan) -> list[str]:
    found = []
    named = [*plan.metric_names] + ([plan.train.best] if plan.train.best not in (None, "loss") else [])
    for name in named:
        if name not in METRICS:
            from tunesmith.errors import unknown

            found.append(f"evaluate.metrics: {unknown('metric', name, _fitting(plan))}")
        elif plan.task.kind not in METRICS.find(name).kinds:
            found.append(f"evaluate.metrics: {name} does not fit this task. Fitting: {', '.join(_fitting(plan))}")
        elif text := METRICS.make(name).objection(plan):
            found.append(f"evaluate.metrics: {text}")
    best = plan.best_metric
    if best in METRICS and METRICS.find(best).reads_text and plan.task.writes:
        found.append(f"train.best: {best} reads written answers, which are made at the end of a run alone. Choose "
                     "perplexity, loss, or put another metric first")  # fmt: skip
    odd: list[str] = [name for name in plan.baseline_names if name not in plan.fitting_baselines]
    if odd:
        usual = ", ".join(plan.fitting_baselines) or "none"
        found.append(f"evaluate.baselines: {', '.join(odd)} does not fit this task and method. Fitting: {usual}")
    for which in dict.fromkeys([plan.metric_names[0], plan.best_metric]):
        if which in METRICS and not METRICS.find(which).picks:
            found.append(f"evaluate.metrics: {which} describes answers and picks no model: put another metric first, "
                         "and train.best on one that may")  # fmt: skip
    if isinstance(plan.evaluate.forgetting, str) and plan.task.kind != "text":
        found.append("evaluate.forgetting has no effect on a task that does not write: remove it")
    if plan.train.best not in (None, "loss", *plan.metric_names):
        found.append(f"train.best: {plan.train.best} is not among the metrics that are computed: "
                     f"{', '.join(plan.metric_names)}. Add it to evaluate.metrics")  # fmt: skip
    return found

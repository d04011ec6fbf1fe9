"""What the best of many is really worth.

The best of many looks better than it is: chance helped it. Three numbers stand side by side:

    seen        its value on the validation rows that picked it                                     optimistic
    corrected   the same without the luck of being picked: validation rows are drawn again and again, the best of all
                trials on the drawn rows is judged on those that were not drawn. Tsamardinos, Greasidou and Borboudakis
                2018, "Bootstrapping the out-of-sample predictions", https://doi.org/10.1007/s10994-018-5714-4. What
                early stopping saw of these rows stays in it.
    test        its value on rows that no trial saw: the honest one, with its interval

Shape letters: R draws, N rows, K trials.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.deciding.comparison import Question, decide, examine, finite
from tunesmith.deciding.pairs import Pair
from tunesmith.errors import TunesmithError
from tunesmith.evaluation.intervals import draws, intervals
from tunesmith.metrics import METRICS, Answers, Floats, Metric
from tunesmith.plan import Plan
from tunesmith.search.attempt import answered
from tunesmith.search.ground import Ground

DRAWS = 500


@dataclass(frozen=True)
class Contender:
    """A trial that was trained to the end."""

    name: str
    plan: Plan
    folder: Path


def metric_of(plan: Plan) -> Metric:
    """What is reported of trials: the metric that picked them, or where that was the loss, the task's first."""
    return METRICS.make(plan.metric_names[0] if plan.best_metric == "loss" else plan.best_metric)


def judged(ground: Ground, best: Contender, rivals: Sequence[Contender], untuned: Contender | None) -> dict[str, Any]:
    """{metric, seen, corrected, test, optimism, against}: the winner among its rivals (itself one of them), and against
    the plan that was not tuned. Parts that cannot be told are null."""
    metric, evaluate, seed = metric_of(best.plan), best.plan.evaluate, best.plan.train.seed
    found: dict[str, Any] = {"metric": metric.name, "better": metric.better, "level": evaluate.level}
    for split, name in (("validation", "seen"), ("test", "test")):
        answers = answered(ground, best.plan, best.folder, split)
        told = intervals([metric], answers, resamples=evaluate.resamples, seed=seed, level=evaluate.level,
                         groups=answers.groups)[metric.name]  # fmt: skip
        found[name] = {"value": finite(told.value), "low": finite(told.low), "high": finite(told.high)}
        found[name] |= {"rows": answers.rows}
    sides = [answered(ground, each.plan, each.folder, "validation") for each in rivals]
    found["corrected"] = corrected(metric, sides, seed, evaluate.level)
    sign = 1 if metric.better == "higher" else -1
    seen, test = found["seen"]["value"], found["test"]["value"]
    found["optimism"] = None if seen is None or test is None else sign * (seen - test)
    found["against"] = None if untuned is None else _against(ground, metric, best, untuned)
    return found


def _against(ground: Ground, metric: Metric, best: Contender, untuned: Contender) -> dict[str, Any] | None:
    asked = Question(level=best.plan.evaluate.level, resamples=best.plan.evaluate.resamples, seed=best.plan.train.seed)
    sides = [answered(ground, each.plan, each.folder, "test") for each in (untuned, best)]
    try:
        pair = Pair(metric, (sides[0],), (sides[1],))
    except TunesmithError:  # the search changed which rows are judged: nothing pairs
        return None
    return decide([examine(untuned.name, best.name, pair, asked)], asked)[0]


def corrected(metric: Metric, sides: Sequence[Answers], seed: int, level: float = 0.95) -> dict[str, Any] | None:
    """The value of picking the best of all trials, on rows that did not pick: {value, low, high}; None where trials
    were not judged on the same rows."""
    first = sides[0]
    if any(s.rows != first.rows or not np.array_equal(s.truth, first.truth) for s in sides):
        return None
    sign = 1.0 if metric.better == "higher" else -1.0
    kept: list[Floats] = []
    for weight_RN in draws(first.rows, DRAWS, seed, first.groups):
        drawn_RN = weight_RN[(weight_RN == 0).any(1)]
        left_RN = (drawn_RN == 0).astype(np.float64)
        picks_KR = np.stack([metric.measure(each, drawn_RN) for each in sides])
        out_KR = np.stack([metric.measure(each, left_RN) for each in sides])
        pick_R = np.argmax(np.nan_to_num(sign * picks_KR, nan=-np.inf), axis=0)
        kept.append(out_KR[pick_R, np.arange(len(pick_R))])
    value_R = np.concatenate(kept)
    value_R = value_R[~np.isnan(value_R)]
    if not len(value_R):
        return None
    low, high = np.quantile(value_R, [(1 - level) / 2, (1 + level) / 2])
    return {"value": float(value_R.mean()), "low": float(low), "high": float(high), "trials": len(sides)}

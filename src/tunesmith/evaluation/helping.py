"""Does it help? Arms that were trained with the same seeds and judged on the same rows, each against the first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.evaluation.compared import corrected
from tunesmith.evaluation.crossed import Crossed, crossed
from tunesmith.metrics import METRICS, Answers, Metric
from tunesmith.settings import Section

CLEAN = "as they are"
MANY = 50
"""More seeds than anybody trains."""
HELPS, HURTS, UNKNOWN = "helps", "hurts", "cannot tell"


@dataclass
class Answered:
    """The answers of all arms to the judged rows of one seed."""

    split: str
    rows: NDArray[np.int64]
    """What each row is among those of all seeds; rows that depend on each other share it."""
    answers: dict[str, dict[str, Answers]] = field(default_factory=dict)
    """{arm: {perturbation: answers}}, `CLEAN` among them; the first arm is what others are tested against."""


class Asked(Section):
    """How differences are judged."""

    metric: str
    resamples: int
    seed: int
    level: float


def judged(found: Sequence[Answered], asked: Asked) -> dict[str, dict[str, Any]]:
    """{arm: {values, mean}}, and of all but the first {difference, p, p_holm, verdict, seeds_needed, rows_needed}:
    p-values are corrected for the number of arms (Holm), and the verdict goes by them."""
    told, tests = _arms(found, asked, CLEAN)
    sign = 1 if METRICS.find(asked.metric).better == "higher" else -1
    for arm, test in tests.items():
        beyond = told[arm]["p_holm"] is not None and told[arm]["p_holm"] < 1 - asked.level
        favour = HELPS if sign * test.value > 0 else HURTS
        told[arm]["verdict"] = favour if beyond else UNKNOWN
        told[arm]["seeds_needed"] = None if beyond else test.seeds_for(asked.level)
        told[arm]["rows_needed"] = None if beyond else test.rows_for(asked.level)
    return told


def perturbed(found: Sequence[Answered], asked: Asked) -> dict[str, dict[str, dict[str, Any]]] | None:
    """{perturbation: {arm: {values, mean, difference, p, p_holm}}} of those that change rows of every seed."""
    names = [name for name in next(iter(found[0].answers.values())) if name != CLEAN]
    shared = [n for n in names if all(n in by for each in found for by in each.answers.values())]
    table = {name: _arms(found, asked, name)[0] for name in shared}
    corrected({(n, arm): told for n, by in table.items() for arm, told in by.items() if "p" in told})
    return table or None


def _arms(
    found: Sequence[Answered], asked: Asked, what: str
) -> tuple[dict[str, dict[str, Any]], dict[str, Crossed]]:  # fmt: skip
    metric, told, tests = METRICS.make(asked.metric), dict[str, dict[str, Any]](), dict[str, Crossed]()
    first, *others = found[0].answers
    for arm in (first, *others):
        values = [_value(metric, each.answers[arm][what]) for each in found]
        told[arm] = {"values": [_finite(v) for v in values], "mean": _finite(float(np.mean(values)))}
    for arm in others:
        pairs = [(each.answers[arm][what], each.answers[first][what]) for each in found]
        test = tests[arm] = crossed(
            metric, pairs, [each.rows for each in found], resamples=asked.resamples, seed=asked.seed, level=asked.level
        )
        span = {name: _finite(getattr(test, name)) for name in ("value", "low", "high")}
        told[arm] |= {"difference": span, "p": _finite(test.p)}
    corrected({arm: told[arm] for arm in others})
    return told, tests


def _value(metric: Metric, answers: Answers) -> float:
    return float(metric.measure(answers, np.ones((1, answers.rows)))[0])


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


def sentence(arm: str, told: Mapping[str, Any], first: Mapping[str, Any], asked: Asked) -> str:
    """The verdict on an arm in words: how much, how sure, and what it would take to be surer."""
    by = told["difference"]
    if by["value"] is None or by["low"] is None:
        return f"{arm}: {told['verdict']}: {asked.metric} is undefined on these rows"
    size = f"{asked.metric} {by['value']:+.3f} [{by['low']:+.3f}, {by['high']:+.3f}] over {len(told['values'])} seeds"
    said = f"{arm}: {told['verdict']}: {size} ({told['mean']:.3f} against {first['mean']:.3f})"
    if told["verdict"] != UNKNOWN:
        return said
    if told["seeds_needed"] is not None and told["seeds_needed"] > MANY:
        return f"{said}. If the difference is what it looks like, it takes more than {MANY} seeds to tell: it is small"
    if told["seeds_needed"] is not None:
        return f"{said}. If the difference is what it looks like, about {told['seeds_needed']} seeds would tell"
    if told["rows_needed"] is not None:
        return f"{said}. No number of seeds would tell on these rows: it takes about {told['rows_needed']} judged rows"
    return f"{said}. There is no difference to be told"

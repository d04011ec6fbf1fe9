"""A race: methods, and settings of each, on the same rows within one budget; it ends with a recommendation.

`arms` says what runs, `course` who is looked at, stopped, finished and trained again (over `entry`, `journal` and
`runner`), `judged` who is recommended, `told` what `tunesmith race` answers, `page` and `pictures` draw it, and `start`
does all of it in a folder.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.deciding.bootstrap import bootstrapped
from tunesmith.deciding.pairs import Pair, Side
from tunesmith.errors import TunesmithError
from tunesmith.metrics import METRICS, Metric
from tunesmith.plan import Plan
from tunesmith.search.racing.arms import Field, Fit, field_of
from tunesmith.search.racing.course import Course, Limits, Tests
from tunesmith.search.racing.entry import Entry, Scale
from tunesmith.search.racing.journal import Journal
from tunesmith.search.racing.judged import Judged, Rule, Value, judge, value_of, worse_of
from tunesmith.search.racing.runner import Runner, Trainer, looked_often

RESAMPLES = 1000
"""Draws of a test between looks."""


@dataclass(frozen=True)
class Race:
    """What is raced, and where it is kept."""

    plan: Plan
    """Looked at often enough."""
    field: Field
    limits: Limits
    rule: Rule
    folder: Path
    split: str
    """Whose rows decide in the end."""


@dataclass(frozen=True)
class Outcome:
    """A race that is over."""

    course: Course
    rule: Rule
    judged: Judged | None = None
    """None where nothing finished."""
    seeds: int = 0
    """Of each finalist that were compared."""
    rows: int = 0
    """That they were compared on."""
    values: Mapping[str, Value] = field(default_factory=dict)
    """On the rows that decide, of all that finished; those that are no finalists have one seed."""

    @property
    def level(self) -> float:
        """Of intervals."""
        return self.rule.level


def metric_of(plan: Plan) -> Metric:
    """What a race is decided by: the metric that picks checkpoints. Raises TunesmithError for the loss, which has no
    test."""
    if plan.best_metric not in METRICS:
        raise TunesmithError(f"train.best: {plan.best_metric} is no metric that answers can be compared by. Name one: "
                             f"train.best={plan.metric_names[0]}")  # fmt: skip
    return METRICS.make(plan.best_metric)


def carry_out(race: Race, course: Course) -> Outcome:
    """Run what has not run yet, and judge the finalists."""
    course.run()
    for entry in course.entries:
        if entry.looks and not entry.last.finished:
            course.runner.leave(entry.arm, entry.arm.plan.train.seed)
    finalists = [e for e in course.entries if e.fate == "finalist"]
    if not finalists:
        return Outcome(course, race.rule)
    seeds = min(len(e.seeds) for e in finalists)
    sides = {e.arm.name: _side(course, e, race.split, alone=seeds == 1) for e in finalists}
    best = max(finalists, key=lambda e: course.scale.key(_mean(e, seeds)))
    smallest = sorted(finalists, key=lambda e: e.size)
    judged = judge(sides, best.arm.name, [e.arm.name for e in smallest], race.rule)
    others = [e for e in course.entries if e.fate == "finished"]
    values = {e.arm.name: value_of(race.rule, _side(course, e, race.split, alone=True)) for e in others}
    rows = next(iter(sides.values()))[0].rows
    return Outcome(course, race.rule, judged, seeds, rows, {**judged.values, **values})


def _side(course: Course, entry: Entry, split: str, *, alone: bool) -> Side:
    seeds = sorted(entry.seeds)[: 1 if alone else None]
    return tuple(course.runner.answers(entry.arm, seed, course.rate(entry.arm), split) for seed in seeds)


def _mean(entry: Entry, seeds: int) -> float | None:
    values = [each.value for _, each in sorted(entry.seeds.items())][: 1 if seeds == 1 else None]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def course_of(race: Race, runner: Runner, journal: Journal, say: Any) -> Course:
    """The course of a race that has this runner."""
    points, margin = race.rule.metric.points, race.rule.margin
    scale = Scale(race.rule.metric, margin if margin is not None else 1 / points if points else 0.0)

    def side(entry: Entry) -> Side:
        arm = entry.arm
        return (runner.answers(arm, arm.plan.train.seed, course.rate(arm), "validation"),)

    def worse(one: Entry, best: Entry) -> float | None:
        return worse_of(Pair(race.rule.metric, side(best), side(one)), RESAMPLES, race.rule.seed)

    def error(one: Entry) -> float:
        return bootstrapped(Pair(race.rule.metric, (), side(one)), resamples=RESAMPLES, seed=race.rule.seed).error

    course = Course(race.field.arms, runner, journal, race.limits, scale, Tests(worse, error), say)
    return course


__all__ = [
    "Course", "Field", "Fit", "Journal", "Limits", "Outcome", "Race", "Rule", "Runner", "Trainer", "carry_out",
    "course_of", "field_of", "looked_often", "metric_of",
]  # fmt: skip

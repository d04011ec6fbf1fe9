"""A race as it is asked for, from its words to its folder: `flows.race` finds the base and names the folder."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import TunesmithError
from tunesmith.files import write_json, write_text
from tunesmith.plan import Plan
from tunesmith.plan_text import dump_plan
from tunesmith.prepared import Prepared
from tunesmith.progress import Progress
from tunesmith.search import amounts
from tunesmith.search.ground import Ground
from tunesmith.search.racing import (
    Field,
    Fit,
    Journal,
    Limits,
    Race,
    Rule,
    Trainer,
    carry_out,
    course_of,
    field_of,
    looked_often,
    metric_of,
)
from tunesmith.search.racing.journal import NAME
from tunesmith.search.racing.page import PAGE, write_page
from tunesmith.search.racing.told import chosen_plan, planned, reply_of

CHOSEN = "best.yaml"


@dataclass(frozen=True)
class Asked:
    """The words of a race. Raises TunesmithError for an amount that is none."""

    methods: Sequence[Any] | None = None
    """As a plan writes them; None: all that need nothing beyond the plan."""
    budget: str = "20m"
    memory: str | None = None
    seeds: int = 3
    margin: float | None = None
    grid: bool = True

    def __post_init__(self) -> None:
        if self.seeds < 1 or (self.margin is not None and self.margin <= 0):
            raise TunesmithError("race: --seeds is 1 or more, --margin above 0")
        _ = self.limits

    @property
    def limits(self) -> Limits:
        """What may be spent."""
        memory = None if self.memory is None else amounts.megabytes(self.memory, "--memory")
        return Limits(amounts.seconds(self.budget, "--budget"), memory, self.seeds)

    @property
    def who(self) -> dict[str, Any]:
        """What makes two races of a plan the same."""
        return asdict(self) | {"methods": None if self.methods is None else list(self.methods)}


@dataclass(frozen=True)
class Place:
    """Where a race runs."""

    folder: Path
    ground: Ground
    began: float
    """Of the monotonic clock: the budget is counted from here."""


def field_for(plan: Plan, asked: Asked, fit: Fit) -> Field:
    """What would run; all that can be refused is refused before any row is read."""
    metric_of(plan)
    return field_of(plan, asked.methods, fit, grid=asked.grid)


def dry(plan: Plan, asked: Asked, fit: Fit) -> dict[str, Any]:
    """The reply of a race that is only planned."""
    return planned(plan, field_for(plan, asked, fit), asked.limits)


def run_race(
    plan: Plan, asked: Asked, fit: Fit, place: Place, prepared: Prepared, progress: Progress
) -> dict[str, Any]:
    """Race in a claimed folder, or go on with a race there; returns the reply, and leaves it with its page and plan."""
    folder, ground = place.folder, place.ground
    plan = looked_often(plan, len(prepared.splits["train"]))
    split = "test" if len(prepared.splits.get("test", ())) else "validation"
    rule = Rule(metric_of(plan), plan.evaluate.level, asked.margin, plan.evaluate.resamples, plan.train.seed)
    race = Race(plan, field_for(plan, asked, fit), asked.limits, rule, folder, split)
    ground.known(ground.work(race.field.arms[0].plan, folder, place.began))  # not at the cost of the first arm
    journal = Journal(folder / NAME, began=place.began)
    ground.stop.late = lambda: journal.spent > asked.limits.seconds
    found = carry_out(race, course_of(race, Trainer(ground, folder), journal, progress.say))
    reply = reply_of(race, found)
    reply["warnings"] += prepared.notes
    addresses = {"folder": str(folder), "page": str(folder / PAGE), "plan": None}
    if (chosen := chosen_plan(plan, found)) is not None:
        write_text(folder / CHOSEN, dump_plan(chosen.anchored()))
        addresses["plan"] = str(folder / CHOSEN)
    write_page(reply, folder / PAGE, f"{Path(plan.data.train[0].file).name}, {plan.task.name}")
    reply |= addresses
    write_json(folder / "reply.json", reply)
    return reply

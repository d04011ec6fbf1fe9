"""Arms that are made up: curves, speeds and answers are known, and the clock is theirs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tunesmith.errors import Interrupted
from tunesmith.methods import METHODS
from tunesmith.metrics import METRICS, Answers
from tunesmith.plan import Plan
from tunesmith.plan_text import make_plan
from tunesmith.search.attempt import Standing
from tunesmith.search.racing import Course, Field, Journal, Limits, Race, Rule, course_of
from tunesmith.search.racing.arms import Arm

ROWS = 600
ACCURACY = METRICS.make("accuracy")


@dataclass(frozen=True)
class Track:
    """How an arm learns: accuracy at a ninth, a third and the end; seconds of a whole training."""

    at: tuple[float, float, float]
    seconds: float = 9.0
    share: float = 0.1
    """Of parameters that learn."""
    memory: float = 100.0
    foreseen: float | None = None
    fails: bool = False

    def value(self, share: float) -> float:
        return float(np.interp(share, (1 / 9, 1 / 3, 1.0), self.at))


def plan() -> Plan:
    return make_plan(
        {"task": "classify", "base": "minilm", "data": "unused.csv", "evaluate": {"metrics": ["accuracy"]}}
    )


def arms(*names: str) -> tuple[Arm, ...]:
    """One each; "lora b" is of the family "lora"."""
    made = plan()
    method = METHODS.make("head")
    return tuple(Arm(n, n.split()[0], made.model_copy(update={"method": method}), {}) for n in names)


@dataclass
class Made:
    """A runner without training."""

    tracks: Mapping[str, Track]
    now: float = 0.0
    late: float = float("inf")
    stood: dict[tuple[str, int], Standing] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    kill_at: int | None = None

    def clock(self) -> float:
        return self.now

    def advance(self, arm: Arm, seed: int, rate: float | None, until: float) -> Standing:
        if self.kill_at == len(self.calls):
            raise KeyboardInterrupt
        self.calls.append(f"{arm.name} {seed} {until:.2f}")
        track, before = self.tracks[arm.name], self.stood.get((arm.name, seed))
        share, spent = (before.share, before.seconds) if before else (0.0, 0.0)
        needed = 0.1 + track.seconds * (until - share)
        if self.now + needed > self.late:
            self.now = self.late
            raise Interrupted("late", 128)
        self.now += needed
        training = (before.training if before else 0.0) + needed - 0.1
        value = None if track.fails else track.value(until) + 0.002 * (seed % 3)
        failed = "it diverged" if track.fails else None
        found = Standing(
            "", round(until * 900), 900, value, 1, until == 1.0 or track.fails, "", spent + needed, 0.0, track.memory,
            round(track.share * 1000), 1000, 1.0, training, None if failed else 0.01, failed,
        )  # fmt: skip
        self.stood[arm.name, seed] = found
        return found

    def forecast(self, arm: Arm) -> float | None:
        return self.tracks[arm.name].foreseen

    def answers(self, arm: Arm, seed: int, rate: float | None, split: str) -> Answers:
        """Right on the easiest rows; rows of test are others, and a few differ by chance."""
        standing, generator = self.stood[arm.name, seed], np.random.default_rng([split == "test", 1])
        own = np.random.default_rng([sum(map(ord, arm.name)), seed, split == "test"])
        hard = generator.permutation(ROWS) / ROWS + own.normal(0, 0.01, ROWS)
        right = hard < (standing.value or 0.0)
        truth = generator.integers(0, 2, ROWS)
        return Answers("classes", truth, np.where(right, truth, 1 - truth), None, ("a", "b"))

    def leave(self, arm: Arm, seed: int) -> None:
        self.calls.append(f"leave {arm.name}")


def race(folder: Path, names: tuple[str, ...], seconds: float, **more: float) -> Race:
    limits = Limits(seconds, more.get("memory"), int(more.get("seeds", 3)))
    made = plan()
    return Race(made, Field(arms(*names), {}), limits, Rule(ACCURACY, resamples=300), folder, "test")


def course(made: Made, asked: Race) -> Course:
    made.late = asked.limits.seconds
    journal = Journal(asked.folder / "race.jsonl", made.clock)
    return course_of(asked, made, journal, lambda text: None)

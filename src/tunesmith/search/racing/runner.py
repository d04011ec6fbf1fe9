"""What a race needs of training: an arm taken further, and what it answers. Tests race arms that are made up."""

import shutil
import time
from pathlib import Path
from typing import Protocol

from tunesmith.job import foresee
from tunesmith.metrics import Answers
from tunesmith.plan import Plan
from tunesmith.search.attempt import Standing, advance, answered
from tunesmith.search.ground import Ground
from tunesmith.search.racing.arms import Arm


class Runner(Protocol):
    """Who trains arms."""

    def advance(self, arm: Arm, seed: int, rate: float | None, until: float) -> Standing:
        """Train to that share of the steps. Raises Interrupted where that was stopped, by a signal or because it is
        late; the same call goes on."""

    def forecast(self, arm: Arm) -> float | None:
        """MB that the process will hold while it trains; None where that is not known before the base is loaded."""

    def answers(self, arm: Arm, seed: int, rate: float | None, split: str) -> Answers:
        """What it answers to the rows of `validation`, or of `test` once it is finished."""

    def leave(self, arm: Arm, seed: int) -> None:
        """It will not go on."""


class Trainer:
    """Trains arms on one ground, each seed of each in a folder of its own."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        self._ground, self._folder = ground, folder

    def advance(self, arm: Arm, seed: int, rate: float | None, until: float) -> Standing:
        return advance(self._ground, arm.with_seed(seed, rate), self._at(arm, seed), until, answers=True)

    def forecast(self, arm: Arm) -> float | None:
        work = self._ground.work(arm.plan, self._folder, time.monotonic())
        held: float | None = foresee(work.prepared, work.found).get("memory_mb")
        return held

    def answers(self, arm: Arm, seed: int, rate: float | None, split: str) -> Answers:
        return answered(self._ground, arm.with_seed(seed, rate), self._at(arm, seed), split)

    def leave(self, arm: Arm, seed: int) -> None:
        shutil.rmtree(self._at(arm, seed) / "checkpoints", ignore_errors=True)

    def _at(self, arm: Arm, seed: int) -> Path:
        return self._folder / "arms" / arm.folder / f"seed-{seed}"


def looked_often(plan: Plan, rows: int) -> Plan:
    """The plan with nine looks at the validation rows where it would have fewer, so that there are rungs to stop at;
    its patience lasts for as many steps as before."""
    train, epochs = plan.train, plan.epochs(rows)
    if epochs >= 9 or train.evaluate_every != "1 epoch" or train.max_steps is not None:
        return plan
    patience = None if train.patience is None else -(-train.patience * 9 // epochs)
    often = {"evaluate_every": f"{epochs / 9:.4g} epochs", "patience": patience}
    return plan.model_copy(update={"train": train.model_copy(update=often)})

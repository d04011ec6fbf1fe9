"""What a training loop is given, and the small pure functions it works with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.errors import TunesmithError
from tunesmith.model import Model
from tunesmith.progress import Progress, Stop
from tunesmith.tasks import Array, Encoded

Judge = Callable[[Array], Mapping[str, float]]
"""Logits of the validation rows -> metrics by name."""


def _no_old() -> Encoded:
    raise TunesmithError(
        "penalties: there are no old rows to look at: name a base that kept some (replay.keep), or give them as "
        "replay.file"
    )


def _no_teacher(path: str | None) -> tuple[Array, Sequence[int]]:
    raise TunesmithError("penalties: distill has no teacher here. Name one: {name: distill, teacher: RUN}")


@dataclass(frozen=True)
class Aids:
    """What penalties may want beside the training rows, made when it is asked for."""

    old: Callable[[], Encoded] = _no_old
    """Rows of earlier instalments."""
    taught: Callable[[str | None], tuple[Array, Sequence[int]]] = _no_teacher
    """What a teacher says of the training rows, and which of our outputs these are."""


NO_AIDS = Aids()


@dataclass
class Job:
    """What a loop is given."""

    model: Model
    train: Encoded
    validation: Encoded
    judge: Judge
    folder: Path
    """The run folder; history.jsonl and checkpoints/ are written there."""
    log: Callable[[int, Mapping[str, float]], None] = lambda step, values: None
    progress: Progress = field(default_factory=lambda: Progress(silent=True))
    stop: Stop = field(default_factory=Stop)
    aids: Aids = NO_AIDS
    save: bool = True
    """False keeps everything in memory (searches, cross-validation): no checkpoints, no resuming."""
    until: float = 1.0
    """Share of all steps after which training pauses, at the first evaluation from there on; the schedule is that of
    all steps, so that a paused run that goes on is the run that was never paused."""


def step_seed(seed: int, step: int) -> int:
    """A 63-bit seed from (seed, step) without visible structure."""
    return int(np.random.SeedSequence([seed, step, 2]).generate_state(1, np.uint64)[0] >> 1)


def finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """The values as JSON takes them: NaN and infinity become null."""
    return {k: (float(v) if np.isfinite(v) else None) for k, v in values.items()}


def nothing() -> Any:
    """A context that does nothing."""
    from contextlib import nullcontext

    return nullcontext()

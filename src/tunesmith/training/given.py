"""What a training loop is given, and the small pure functions it works with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.model import Model
from tunesmith.progress import Progress, Stop
from tunesmith.tasks import Array, Encoded

Judge = Callable[[Array], Mapping[str, float]]
"""Logits of the validation rows -> metrics by name."""


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
    save: bool = True
    """False keeps everything in memory (searches, cross-validation): no checkpoints, no resuming."""


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

"""Pairs of models with known answers, for tests of comparisons."""

import numpy as np

from tunesmith.deciding.pairs import Pair
from tunesmith.metrics import METRICS, Answers


def classes(seed: int, rows: int, right_a: float, right_b: float, metric: str = "accuracy") -> Pair:
    """Two models of three classes that are right with fixed chances, on the same rows."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, rows)
    said = [np.where(rng.random(rows) < right, truth, (truth + 1) % 3) for right in (right_a, right_b)]
    a, b = (Answers("classes", truth, each, labels=("x", "y", "z")) for each in said)
    return Pair(METRICS.make(metric), (a,), (b,))


def numbers(seed: int, rows: int, metric: str = "mae", shift: float = 0.0) -> Pair:
    """Two models of a number with skewed errors; b errs by `shift` more."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=rows)
    a, b = (Answers("numbers", truth, truth + rng.lognormal(size=rows) + more) for more in (0.0, shift))
    return Pair(METRICS.make(metric), (a,), (b,))

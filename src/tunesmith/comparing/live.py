"""Compare two served versions by their logged answers and later outcomes, at any time."""

from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.deciding.comparison import finite
from tunesmith.deciding.logged import Log, read_log
from tunesmith.deciding.needed import Needed
from tunesmith.deciding.sequential import evidence, more_needed, running_interval, running_p, seen_of
from tunesmith.deciding.verdict import Told, sentence, verdict
from tunesmith.errors import TunesmithError, unknown

TEST = "sequential (Beta mixture, valid at any time)"


def compare_log(
    path: Path, versions: tuple[str, ...], scale: tuple[float, float], margin: float | None, level: float
) -> dict[str, Any]:
    """The verdict on the second version against the first; those that the log names, unless two are named.

    `margin` and the difference are in the unit of the outcomes. Raises TunesmithError for a log without two versions.
    """
    if not scale[0] < scale[1]:
        raise TunesmithError(f"--scale {scale[0]:g} {scale[1]:g}: the first must be the lower end")
    log = read_log(path, scale)
    a, b = _two(path, log, versions)
    is_b, outcome_T = log.of(a, b, scale)
    seen, wide, alpha = seen_of(is_b, outcome_T), scale[1] - scale[0], 1 - level
    if not (seen.num_a and seen.num_b):
        raise TunesmithError(f"{path}: {a if not seen.num_a else b} has no outcome yet. Look again when it has")
    p_T = running_p(is_b, outcome_T)
    low, high = (wide * each for each in running_interval(is_b, outcome_T, alpha))
    p, value = float(p_T[-1]), seen.difference * wide
    # within the margin at any time: the running interval errs once in 1 / alpha, however often one looks
    alike = None if margin is None else (0.0 if -margin < low and high < margin else 1.0)
    told = Told(a, b, "outcome", 100 if scale == (0.0, 1.0) else 0, value, (low, high), level, p, margin, "outcomes")
    found = verdict(told, "higher", alpha, alike)
    more = Needed(more_needed(seen, alpha) if found == "cannot_tell" else None)
    crossed = np.flatnonzero(p_T <= alpha)
    return {
        "a": a, "b": b, "metric": "outcome", "better": "higher", "rows": len(is_b), "scale": list(scale),
        "difference": {"value": finite(value), "low": low, "high": high}, "level": level, "p": p, "p_adjusted": p,
        "test": TEST, "margin": margin, "verdict": found, "rows_needed": more.rows,
        "sentence": sentence(told, found, more), "log_evidence": float(evidence(is_b, outcome_T)[-1]),
        "decided_at": int(crossed[0]) + 1 if len(crossed) else None,
        "versions": {
            name: {"answers": log.answered[name], "outcomes": num, "waiting": log.waiting(name),
                   "mean": scale[0] + wide * total / num}
            for name, num, total in ((a, seen.num_a, seen.sum_a), (b, seen.num_b, seen.sum_b))
        },
        "data": str(path), "warnings": _warnings(log, a, b),
    }  # fmt: skip


def _two(path: Path, log: Log, versions: tuple[str, ...]) -> tuple[str, str]:
    for name in versions:
        if name not in log.answered:
            raise TunesmithError(f"{path}: {unknown('version', name, log.answered)}")
    found = versions or tuple(log.answered)
    if len(found) != 2:
        raise TunesmithError(
            f"{path}: a live test is between two versions, and here are {len(found)} ({', '.join(found)}). Name two: "
            f"tunesmith compare A B --log {path}"
        )
    return found[0], found[1]


def _warnings(log: Log, a: str, b: str) -> list[str]:
    """Outcomes that are missing more often of one version make it look better or worse than it is."""
    from scipy.stats import fisher_exact

    table = [[log.waiting(name), log.answered[name] - log.waiting(name)] for name in (a, b)]
    if fisher_exact(table).pvalue >= 0.001:
        return []
    shares = " and ".join(f"{w / (w + k):.0%} of {name}" for (w, k), name in zip(table, (a, b), strict=True))
    return [f"outcomes are missing for {shares}: if the bad ones come later, the difference is not what it seems"]

"""Compare methods by their scores on many data sets: a table with a data set a row and a method a column."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tunesmith.data.format import find_column
from tunesmith.data.table import read
from tunesmith.deciding.comparison import finite
from tunesmith.deciding.data_sets import OverSets, over_sets
from tunesmith.deciding.needed import Needed, aimed_error, needed
from tunesmith.deciding.verdict import Told, sentence, verdict
from tunesmith.errors import TunesmithError
from tunesmith.evaluation.significance import holm
from tunesmith.metrics import METRICS, Floats

TEST = "Wilcoxon signed-rank"


def compare_scores(
    path: Path, methods: Sequence[str], metric: str | None, margin: float | None, level: float
) -> dict[str, Any]:
    """The verdict on each method against the first. Columns with a number in every row are methods unless named.

    `margin` is the region of practical equivalence, in the unit of the scores. Raises TunesmithError for other tables.
    """
    scores = _scores(path, methods)
    a, *others = scores
    rope = margin or 0.0
    found = {b: over_sets(scores[a], scores[b], rope=rope, level=level) for b in others}
    corrected = holm([each.p for each in found.values()])
    made = METRICS.make(metric) if metric else None
    unit: tuple[str, float, Literal["higher", "lower"]]
    unit = (made.name, made.points, made.better) if made else ("score", 0, "higher")
    comparisons = [
        _reply(a, b, (scores[a], scores[b]), each, p, unit, margin, level)
        for (b, each), p in zip(found.items(), corrected, strict=True)
    ]
    warnings = [] if len(scores[a]) >= 6 else [f"{len(scores[a])} data sets: no p-value can fall below 0.05"]
    return {**comparisons[0], "data": str(path), "against": a, "comparisons": comparisons, "warnings": warnings}


def _scores(path: Path, methods: Sequence[str]) -> dict[str, Floats]:
    table = read(path)
    names = [find_column(name, table.columns, table.source) for name in methods]
    columns = {name: [cells.get(name) for _, cells in table.rows] for name in names or table.columns}
    found = {name: numbers for name, column in columns.items() if (numbers := _numbers(column)) is not None}
    if missing := [name for name in names if name not in found]:
        raise TunesmithError(f"{path}: {missing[0]}: a score is missing or no number. Each method needs one on each "
                             "data set")  # fmt: skip
    if len(found) < 2:
        raise TunesmithError(f"{path}: no two columns of scores ({', '.join(table.columns)}). A row is a data set, a "
                             "column a method")  # fmt: skip
    return found


def _numbers(column: Sequence[Any]) -> Floats | None:
    try:
        found = np.array([float(cell) for cell in column])
    except (TypeError, ValueError):
        return None
    return found if np.isfinite(found).all() else None


def _reply(  # noqa: PLR0913, PLR0917 - what was found, and what it is told with
    a: str, b: str, scores: tuple[Floats, Floats], found: OverSets, p: float,
    unit: tuple[str, float, Literal["higher", "lower"]], margin: float | None, level: float,
) -> dict[str, Any]:  # fmt: skip
    name, points, better = unit
    num, belief = len(scores[0]), found.signed_rank
    told = Told(a, b, name, points, found.value, found.limits, level, p, margin, "data sets")
    said = verdict(told, better, 1 - level, None if margin is None else 1 - belief.alike)
    # the signed-rank test needs 1 / 0.955 as many as a t-test does where differences are normal (Hodges and Lehmann)
    error = float((scores[1] - scores[0]).std(ddof=1)) / (num * 0.955) ** 0.5
    more = needed(error, num, aimed_error(found.value, margin, 1 - level)) if said == "cannot_tell" else Needed(None)
    low, high = found.limits or (None, None)
    beliefs: Mapping[str, Any] = {"signed_rank": asdict(belief), "sign": asdict(found.sign)}
    return {
        "a": a, "b": b, "metric": name, "better": better, "data_sets": num,
        "difference": {"value": found.value, "low": finite(low), "high": finite(high)}, "level": level, "p": found.p,
        "p_adjusted": p, "test": TEST, "wins": {"a": found.wins[0], "neither": found.wins[1], "b": found.wins[2]},
        "belief": beliefs, "margin": margin, "verdict": said, "rows_needed": None, "data_sets_needed": more.rows,
        "sentence": f"{sentence(told, said, more)}; {_told_belief(found, a, b, num, margin or 0.0)}",
    }  # fmt: skip


def _told_belief(found: OverSets, a: str, b: str, num: int, rope: float) -> str:
    belief = found.signed_rank
    more = f"higher by more than {rope:g}" if rope else "higher"
    return (f"of {num} data sets {b} is higher on {found.wins[2]}; probability that {a} is {more} {belief.a:.2f}, {b} "
            f"{belief.b:.2f}, neither {belief.alike:.2f}")  # fmt: skip

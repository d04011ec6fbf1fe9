"""What methods were worth where we measured them, and what that says of a case like them.

    points(m, s)   = 100 (score of m on data set s - score of lora there), a mean over the lines of s
    -3 -> mean(m | all) -> mean(m | kind) -> mean(m | kind, size)   each step: (n x own mean + the one before) / (n + 1)

LoRA is the yardstick because every data set has it, so that a data set on which few methods were tried favours none of
them. n counts data sets, not lines: ten sizes of one data set are one opinion. -3 is what a method has of which nothing
was measured. That, and the weight of one data set that each step keeps, are choices, not fits. Sizes: below 1,000 rows,
up to 10,000, above.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tunesmith.advising.rules import loaded
from tunesmith.described import Described

FILE = Path(__file__).with_name("measured.yaml")
YARDSTICK = "lora"
UNMEASURED = -3.0
"""Points of a method of which nothing was measured: it has to be asked for, or spoken for by a rule."""
SIZES = (("below 1,000 rows", 0, 1000), ("1,000 to 10,000 rows", 1000, 10_001), ("above 10,000 rows", 10_001, 10**12))


class Line(Described):
    """One data set at one number of rows, with all that was measured on it."""

    data: str
    """The data set; several files of results may be of one."""
    source: str
    """File of results, below bench/."""
    kind: str
    """Kind of answer."""
    rows: int
    """Training rows."""
    metric: str
    """What the scores are."""
    base: str
    """What was tuned."""
    scores: dict[str, float]
    """Method -> mean score."""
    seconds: dict[str, float]
    """Method -> mean CPU seconds of training."""
    runs: int
    """Runs of the method that has fewest of them."""


@dataclass(frozen=True)
class Worth:
    """What measurements say of a method in a case."""

    points: float
    """Against LoRA."""
    sets: tuple[str, ...]
    """Data sets of this kind and size; none: it is said by others."""
    others: int
    """Further data sets."""

    def told(self, kind: str, rows: int) -> str:
        """In a sentence."""
        like, points = f"{kind}, {size_of(rows)}", f"{self.points:+.1f} points against lora"
        if not self.sets:
            return f"{points}, from {self.others} data sets, none of them like this ({like})"
        beside = f", and {self.others} others" if self.others else ""
        return f"{points}, measured on {', '.join(self.sets)} ({like}){beside}"


@cache
def lines() -> tuple[Line, ...]:
    """All that was measured."""
    return tuple(Line.model_validate(each) for each in loaded(FILE))


def size_of(rows: int) -> str:
    """The size that a number of rows belongs to."""
    return next(name for name, least, beyond in SIZES if least <= rows < beyond)


def worth(method: str, kind: str, rows: int, without: Collection[str] = ()) -> Worth | None:
    """What measurements say of a method; None where nothing was measured of it. `without`: data sets to leave out."""
    known = [each for each in lines() if method in each.scores and each.data not in without]
    if not known:
        return None
    alike = [each for each in known if each.kind == kind]
    close = [each for each in alike if size_of(each.rows) == size_of(rows)]
    points = 0.0 if method == YARDSTICK else UNMEASURED
    for group in (known, alike, close):
        if number := len({each.data for each in group}):
            points = (number * _mean(method, group) + points) / (number + 1)
    sets = tuple(sorted({each.data for each in close}))
    return Worth(points, sets, len({each.data for each in known} - set(sets)))


def _mean(method: str, some: Sequence[Line]) -> float:
    """Points against the yardstick: mean over data sets of the mean over their lines."""
    by_set: dict[str, list[float]] = {}
    for each in some:
        by_set.setdefault(each.data, []).append(100 * (each.scores[method] - each.scores[YARDSTICK]))
    return _average(_average(values) for values in by_set.values())


def effort(method: str) -> float | None:
    """CPU time of training against full tuning of the same rows: mean over data sets; None where not measured."""
    found: dict[str, list[float]] = {}
    for each in lines():
        if method in each.seconds and "full" in each.seconds:
            found.setdefault(each.data, []).append(each.seconds[method] / each.seconds["full"])
    return _average(_average(values) for values in found.values()) if found else None


def _average(values: Iterable[float]) -> float:
    some = list(values)
    return sum(some) / len(some)

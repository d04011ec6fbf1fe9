"""Read the result lines, and set arms against each other: ratios by repetition, with their spread."""

import json
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
Line = dict[str, Any]


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of some repetitions."""

    median: float
    low: float
    high: float
    count: int

    @staticmethod
    def of(values: list[float]) -> "Spread | None":
        """None where nothing was measured."""
        return Spread(statistics.median(values), min(values), max(values), len(values)) if values else None


@dataclass(frozen=True)
class Measured:
    """A job on certain rows, by all arms, with one state of the code."""

    job: str
    arms: dict[str, dict[int, Line]]
    """Lines by arm and repetition."""

    @property
    def some(self) -> Line:
        """Any line, for what is the same in all."""
        return next(iter(next(iter(self.arms.values())).values()))

    def lines(self, arm: str) -> list[Line]:
        """Lines of an arm, in order of repetition."""
        return [line for _, line in sorted(self.arms.get(arm, {}).items())]

    def values(self, arm: str, field: str) -> Spread | None:
        """A field of an arm."""
        return Spread.of([line[field] for line in self.lines(arm) if field in line])

    def ratio(self, arm: str, *, over: str = "ours", field: str = "cpu") -> Spread | None:
        """How many times as much an arm took as another one in the same repetition."""
        mine, theirs = self.arms.get(over, {}), self.arms.get(arm, {})
        both = [(mine[rep], theirs[rep]) for rep in sorted(mine.keys() & theirs.keys())]
        return Spread.of([b[field] / a[field] for a, b in both if field in a and field in b])

    @property
    def extrapolated(self) -> bool:
        """Whether an arm was measured in part, and multiplied."""
        return any(line["extrapolated"] for lines in self.arms.values() for line in lines.values())


def read(file: Path) -> list[Line]:
    """The lines of a file. The torn last line of a machine that went down is passed over."""
    if not file.is_file():
        return []
    found = []
    for text in file.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(text))
        except ValueError:
            print(f"{file.name}: passed over a torn line")
    return found


def read_all(folder: Path = RESULTS) -> list[Line]:
    """Every line of every job."""
    return [line for file in sorted(folder.glob("*.jsonl")) for line in read(file)]


def standings(lines: Iterable[Line]) -> list[Measured]:
    """Jobs as measured with the newest code; of repeated lines the last counts. Sorted by job, then by rows."""
    groups: dict[tuple[str, str], dict[str, list[Line]]] = {}
    for line in lines:
        groups.setdefault((line["job"], line["digest"]), {}).setdefault(line["source"], []).append(line)
    found = []
    for (job, _), by_source in groups.items():
        newest = max(by_source.values(), key=lambda each: max(line["date"] for line in each))
        arms: dict[str, dict[int, Line]] = {}
        for line in newest:
            arms.setdefault(line["arm"], {})[line["rep"]] = line
        found.append(Measured(job, arms))
    return sorted(found, key=lambda each: (each.job, each.some["rows"]))

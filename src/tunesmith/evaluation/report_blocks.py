"""What a section of the report is built of: a few kinds of blocks, and how numbers are spelled in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from markupsafe import Markup

from tunesmith.evaluation.plots import number
from tunesmith.metrics import METRICS

PERCENT = ("accuracy", "balanced_accuracy", "subset_accuracy", "reward_accuracy", "win_rate")
"""Metrics that are shares of rows, which most people read best as percent."""
SHORT = {
    "majority": "most frequent", "longer": "longer answer", "tfidf": "word counts", "pixels": "small pictures",
    "probe": "frozen base", "dictionary": "word list", "image": "images alone", "side": "side columns",
    "cosine": "bi-encoder", "no_text": "without text", "no_image": "without images", "no_side": "without side columns",
    "source": "source alone",
}  # fmt: skip
NBSP = "\u00a0"


@dataclass(frozen=True)
class Figure:
    """A picture with a sentence on how to read it."""

    title: str
    picture: Markup
    how: str
    legend: tuple[tuple[str, str], ...] = ()
    """(style class, name)."""
    what: str = ""
    """What the picture measures, below its title."""
    kind: ClassVar[str] = "figure"


@dataclass(frozen=True)
class Figures:
    """Pictures side by side where there is room; `how` holds for all of them."""

    figures: Sequence[Figure]
    how: str = ""
    kind: ClassVar[str] = "figures"


@dataclass(frozen=True)
class Cell:
    """A cell with a smaller note below it, or a bar (0 to 1) beside it."""

    text: str
    note: str = ""
    bar: float | None = None


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    words: tuple[int, ...] = (0,)
    """Columns of words, set left; all others are numbers, set right."""
    folded: bool = False
    """Shown behind a line to click."""
    total: bool = False
    """Whether the last row is a sum."""
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Pairs:
    """Names and values."""

    pairs: Sequence[tuple[str, str]]
    caption: str = ""
    kind: ClassVar[str] = "pairs"


@dataclass(frozen=True)
class Note:
    """A paragraph; tone is plain, good or bad."""

    text: str
    tone: str = "plain"
    kind: ClassVar[str] = "note"


@dataclass(frozen=True)
class Points:
    """A list of sentences, each with a heading in bold."""

    caption: str
    points: Sequence[tuple[str, str]]
    tone: str = "plain"
    """bad: these want attention."""
    kind: ClassVar[str] = "points"


@dataclass(frozen=True)
class Mistake:
    """A row that was answered wrongly."""

    text: str
    answer: str
    truth: str
    place: str
    """File and line."""


@dataclass(frozen=True)
class Mistakes:
    """Wrong answers, surest first."""

    caption: str
    rows: Sequence[Mistake]
    kind: ClassVar[str] = "mistakes"


@dataclass(frozen=True)
class Verbatim:
    """A text as it stands, behind a line to click."""

    caption: str
    text: str
    kind: ClassVar[str] = "verbatim"


Block = Figure | Figures | Table | Pairs | Note | Points | Mistakes | Verbatim


@dataclass(frozen=True)
class Section:
    """A part of the page; one without blocks is left out."""

    id: str
    title: str
    blocks: Sequence[Block] = field(default=())


def cell(value: Any, note: str = "", bar: float | None = None) -> Cell:
    """A cell from a number, a word or nothing."""
    if value is None:
        return Cell("–", note, bar)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(number(value) if is_number else str(value), note, bar)


def measured(found: Mapping[str, Any] | None) -> Cell:
    """A value with its interval below it."""
    if not found or found.get("value") is None:
        return Cell("–", "undefined" if found else "")
    low, high = found.get("low"), found.get("high")
    span = "" if low is None or high is None else f"{fixed(low)} to {fixed(high)}"
    return Cell(fixed(found["value"]), span)


def fixed(value: float) -> str:
    """A metric with three decimals where it is small, so that columns line up."""
    return f"{value:.3f}".replace("-", "−") if abs(value) < 10 else number(value)


def percent(share: float, digits: int = 0) -> str:
    """A share as percent; what is not quite all or nothing does not round to it."""
    text = f"{share * 100:.{digits}f}"
    if share not in (0, 1) and float(text) in (0, 100):
        text = f"{share * 100:.2g}" if share < 0.5 else f"{floor_nines(share * 100)}"
    return f"{text}{NBSP}%".replace("-", "−")


def floor_nines(value: float) -> str:
    """A number just below 100 without rounding it up: 99.97 -> 99.9."""
    digits = next((d for d in range(1, 6) if float(f"{value:.{d}f}") < 100), 6)
    return f"{value:.{digits}f}"


def p_value(p: float) -> str:
    """A p-value as journals print it."""
    return f"p{NBSP}<{NBSP}0.001" if p < 0.001 else f"p{NBSP}={NBSP}{p:.2g}"


def count(value: int, noun: str) -> str:
    """'1 row', '1 234 rows'; class takes -es."""
    plural = noun if value == 1 else f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number(value)}{NBSP}{plural}"


def title_of(metric: str) -> str:
    """The metric's name in words."""
    return _told(metric)[0]


def meaning_of(metric: str) -> str:
    """What the metric is, in a clause."""
    return _told(metric)[1]


def _told(metric: str) -> tuple[str, str]:
    part, dot, own = metric.rpartition(".")
    if dot and own in METRICS.names():
        title, meaning = _told(own)
        return f"{part}: {title}", meaning
    if metric not in METRICS.names():
        return metric.replace("_", " "), ""
    title, _, meaning = (METRICS.find(metric).__doc__ or metric).splitlines()[0].partition(": ")
    return title, meaning.rstrip(".")


def baseline_name(name: str) -> str:
    """A baseline in two words."""
    return SHORT.get(name, name)

"""What a file may look like (Format), what was read from it (Table), and how a bad row is told."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal, NamedTuple

from pydantic import Field

from tunesmith.data.record import Cell
from tunesmith.described import Described
from tunesmith.errors import TunesmithError

OnBad = Literal["refuse", "drop"]
EXCERPT = 80
_SHOWN_NAMES = 12


class Format(Described):
    """How to read a data file. Every field left out is detected, and what was detected is reported."""

    header: bool | None = None
    """Whether the first row holds the column names; None = detect, and refuse when in doubt."""
    delimiter: str | None = Field(default=None, min_length=1, max_length=8)
    r"""What stands between two cells: one of `,` `;` tab `|` is detected; several characters (`||`) are allowed."""
    columns: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Columns to read. With a header or keys: the ones to keep (`name?` in JSON = the key may be missing, read as
    null); as many new names as there are columns rename a CSV header. Without a header: the names, in file order."""
    label_last: bool = False
    """Each line is `text<delimiter>label`, split at the last delimiter; quotes mean nothing."""
    quotes: Literal["standard", "none"] | None = None
    """standard: a cell may be wrapped in double quotes (RFC 4180); none: a quote is a letter like any other.
    None = standard, but in tab-separated files quotes that nothing needed stay part of the text."""
    encoding: str | None = Field(default=None, min_length=1)
    """Name of the encoding. None = UTF-8, UTF-16 or GB18030, detected; never a silent guess of latin-1."""
    sheet: str | None = None
    """Name of the XLSX sheet; None = the only sheet that holds something."""
    on_bad: OnBad = "refuse"
    """What happens to a malformed row: stop with its place, or leave it out and write it into the ledger."""


class Bad(NamedTuple):
    """A malformed row that was left out (`on_bad: drop`)."""

    row: int
    line: int
    reason: str
    excerpt: str


@dataclass(frozen=True)
class Table:
    """A data file, read: cells exactly as the file has them."""

    source: str
    """File name as the user gave it."""
    columns: tuple[str, ...]
    rows: Sequence[tuple[int, dict[str, Cell]]] = field(repr=False)
    """(line on which the row starts, cells) in file order; line 0 where a format has no lines."""
    notes: tuple[str, ...]
    """What was detected and decided, in sentences."""
    sha256: str
    """Digest of the file's bytes."""
    bad: tuple[Bad, ...] = ()


class BadRows:
    """Meets the malformed rows of one file: stops at the first, or collects them all."""

    def __init__(self, source: str, on_bad: OnBad) -> None:
        self.source, self.on_bad, self.found = source, on_bad, list[Bad]()
        self.tick: Callable[[int], object] = lambda rows: None
        """Is told of rows that have been read."""

    def meet(self, row: int, place: str, what: str, shown: str, remedy: str) -> None:
        """A malformed row at `place` ("line" or "line:column"); the row number counts from 1."""
        if self.on_bad == "refuse":
            raise refusal(f"{self.source}:{place}", what, shown, remedy)
        line = place.split(":", maxsplit=1)[0]
        self.found.append(Bad(row, int(line) if line.isdecimal() else 0, what, excerpt(shown)))


def excerpt(text: str, at: int = 0) -> str:
    """At most 80 characters of a text around a position; what does not print (controls, bidi marks) is escaped."""
    start = max(0, at - EXCERPT // 2) if len(text) > EXCERPT else 0
    piece = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[start : start + EXCERPT]
    )
    return piece if len(piece) <= EXCERPT else piece[: EXCERPT - 1] + "…"


def refusal(place: str, what: str, shown: str, remedy: str) -> TunesmithError:
    """The error for something wrong at a place of a file (`file:line:column`)."""
    middle = f": '{excerpt(shown)}'" if shown else ""
    return TunesmithError(f"{place}: {what}{middle}. {remedy}")


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its words: '1 row repeats', '3 rows repeat'; `many` is `one` with an s unless given."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def listed(names: Iterable[str]) -> str:
    """Names for a message, safe to print and never more than a dozen."""
    every = [f"'{excerpt(name)}'" for name in names]
    more = f" and {len(every) - _SHOWN_NAMES} more" if len(every) > _SHOWN_NAMES else ""
    return ", ".join(every[:_SHOWN_NAMES]) + more


def find_column(name: str, columns: Sequence[str], source: str) -> str:
    """The column of exactly that name; a name that differs by case or spaces is suggested, never taken."""
    if name in columns:
        return name
    alike = [c for c in columns if c.strip().casefold() == name.strip().casefold()]
    near = alike or get_close_matches(name, columns, n=1, cutoff=0.6)
    hint = f" Did you mean '{excerpt(near[0])}'?" if near else ""
    why = " (names differ by case or spaces)" if alike else ""
    raise TunesmithError(f"{source}: no column named '{excerpt(name)}'{why}.{hint} Columns: {listed(columns)}")


def select_columns(wanted: tuple[str, ...] | None, found: Sequence[str], source: str, *, rename: bool) -> list[str]:
    """New names for the columns of a file, in file order; an empty name = the column is not read.

    `rename`: as many wanted names as columns, none of which the file has, replace the file's names.
    """
    if wanted is None:
        return list(found)
    if rename and len(wanted) == len(found) and not set(wanted) & set(found):
        return list(wanted)
    kept = {find_column(name, found, source) for name in wanted}
    return [name if name in kept else "" for name in found]


def check_names(names: Sequence[str], place: str) -> None:
    """Refuse duplicate and empty column names."""
    first: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if not name:
            what, remedy = f"column {number} has no name", "Name it in the file, or choose columns: data.format.columns"
        elif first.setdefault(name, number) != number:
            what, remedy = f"columns {first[name]} and {number} have one name", "Rename one of them"
        else:
            continue
        raise refusal(f"{place}:{number}", what, name, remedy)

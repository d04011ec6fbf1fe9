"""A file of decisions about labels, a row each: which row of which file is meant, and what shall become of it.

source, row            where the row stands; `source` may be left out where there is one file
digest or text         what it says, so that decisions about a file that has changed since are refused
given (if wanted)      the label that it had
decision               keep | drop | a label; empty: nothing decided yet
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunesmith.data import Record, Roles, alike
from tunesmith.data.format import Table, excerpt, listed
from tunesmith.data.overlap import key, normal
from tunesmith.data.roles import text_of
from tunesmith.data.table import read
from tunesmith.errors import TunesmithError

COLUMNS = ("source", "row", "digest", "text", "given", "suggested", "score", "reason", "decision")
"""As `tunesmith data labels` writes them."""
Place = tuple[str, int]
"""Source and row."""


@dataclass(frozen=True)
class Fix:
    """A decision, and where it stands in its file."""

    place: str
    source: str
    row: int
    digest: str
    text: str
    given: str
    decision: str


def digest_of(record: Record, roles: Roles) -> str:
    """16 hex digits of the input of a row, compared as `dedup` does: without case, spaces and Unicode variants."""
    return alike.digest(key(record, roles)).hex()[:16]


def shown_text(record: Record, roles: Roles) -> str:
    """The texts of a row in one."""
    return " ‖ ".join(text_of(record, column) for column in roles.shown)


def read_fixes(file: str) -> list[Fix]:
    """All decisions of a file. Raises TunesmithError where a column is missing, a row is named twice, or nothing is
    decided."""
    table = read(file)
    known = set(table.columns)
    if not {"row", "decision"} <= known or not {"digest", "text"} & known:
        raise TunesmithError(
            f"{file}: decisions need the columns row and decision, and digest or text, as `tunesmith data labels` "
            f"writes them. Columns: {listed(table.columns)}"
        )
    fixes = [_fix(table, line, cells) for line, cells in table.rows]
    first: dict[tuple[str, int], Fix] = {}
    for each in fixes:
        if (other := first.setdefault((each.source, each.row), each)) is not each:
            raise TunesmithError(f"{each.place}: row {each.row} stands in {other.place}, too. Keep one of the two")
    if not any(each.decision for each in fixes):
        raise TunesmithError(
            f"{file}: nothing is decided: the column decision is empty in all {len(fixes)} rows. Write keep, drop or "
            "a label into it"
        )
    return fixes


def _fix(table: Table, line: int, cells: Mapping[str, object]) -> Fix:
    place = f"{table.source}:{line}"

    def of(column: str) -> str:
        return "" if (cell := cells.get(column)) is None else str(cell).strip()

    if not of("row").isdecimal() or not int(of("row")):
        raise TunesmithError(f"{place}: column 'row': not a row number, from 1: '{excerpt(of('row'))}'")
    if not of("digest") and not of("text"):
        raise TunesmithError(f"{place}: neither digest nor text: nothing tells whether the row is still the one meant")
    return Fix(place, of("source"), int(of("row")), of("digest"), of("text"), of("given"), of("decision"))


def placed(fixes: Sequence[Fix], sources: Iterable[str]) -> dict[Place, Fix]:
    """Decisions by the place of their row in the data. A source is known by its name as it stands, or by its file name
    where that is enough. Raises TunesmithError where it is neither."""
    names = list(dict.fromkeys(sources))
    short: dict[str, list[str]] = {}
    for name in names:
        short.setdefault(Path(name).name, []).append(name)

    def source_of(fix: Fix) -> str:
        if fix.source in names:
            return fix.source
        fitting = short.get(Path(fix.source).name, []) if fix.source else names
        if len(fitting) == 1:
            return fitting[0]
        what = "fits several files" if fitting else "is none of the training files"
        raise TunesmithError(f"{fix.place}: source '{excerpt(fix.source)}' {what}. Files: {listed(names)}")

    found: dict[Place, Fix] = {}
    for fix in fixes:
        place = source_of(fix), fix.row
        if place in found:
            raise TunesmithError(f"{fix.place}: {found[place].place} is about the same row. Keep one of the two")
        found[place] = fix
    return found


def require_same(fix: Fix, record: Record, roles: Roles, label: str) -> None:
    """Refuse a decision about a row that is not any more what it was."""
    text = shown_text(record, roles)
    same = fix.digest == digest_of(record, roles) if fix.digest else normal(fix.text) == normal(text)
    if not same:
        raise TunesmithError(
            f"{record.place}: not the row that {fix.place} decided about: now '{excerpt(text)}', then "
            f"'{excerpt(fix.text or 'digest ' + fix.digest)}'. The file, or a step before relabel, has changed: run "
            "`tunesmith data labels` again"
        )
    if fix.given and fix.given != label.strip():
        raise TunesmithError(
            f"{record.place}: has the label '{excerpt(label)}', and {fix.place} decided about '{excerpt(fix.given)}'. "
            "Look at the row again, and write its label into the column given"
        )

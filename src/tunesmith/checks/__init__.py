"""Checks: what a person should know of rows before anything is trained, one kind of doubt a file."""

import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import ValidationError

from tunesmith.catalog import Catalog, Part
from tunesmith.data import Record, Roles
from tunesmith.data.drift import States
from tunesmith.data.roles import label_of, text_of
from tunesmith.errors import TunesmithError, unknown
from tunesmith.progress import part

Severity = Literal["info", "warning", "error"]
_ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "info": 2}
Settings = Mapping[str, Mapping[str, Any]]
"""{check: {setting: value}}."""
MADE = "tunesmith:"
"""Begins the names of columns that a task made of several; those of answers hold messages as JSON."""
LOOKED_AT = 50_000
"""Rows that the dearer checks look at; which are taken evenly from larger data, and the finding says so."""


@dataclass(frozen=True)
class Finding:
    """Something about the data that a person should know, and what can be done."""

    kind: str
    rows: int
    """How many rows it concerns."""
    column: str | None
    severity: Severity
    remedy: str
    """What was found, an example with its place, and what to do."""
    listed: tuple[dict[str, Any], ...] = ()
    """Rows that deserve a look, the most telling first; all have the same keys."""

    def as_json(self) -> dict[str, Any]:
        """For `--json` and data.json."""
        return asdict(self) | {"listed": list(self.listed)}


@dataclass(frozen=True)
class Seen:
    """What a check looks at. `records` may lie in a file: walk over them, keep counts."""

    records: Sequence[Record]
    roles: Roles
    held_out: Sequence[Record] = ()
    """Rows of given validation or test files, to look for leaks."""
    states: States | None = None
    """What a named base makes of rows, (N, H); None where none is named, or where it reads no texts."""
    spoken: tuple[str, ...] = ()
    """Columns of answers that are learnt as words."""

    @property
    def input(self) -> str | None:
        """The column that findings on whole inputs name."""
        return next(iter((*self.roles.texts, *self.roles.side)), None)

    @property
    def texts(self) -> tuple[str, ...]:
        """Columns of words; none where a file is read in a text's place."""
        return () if self.roles.wordless else self.roles.texts

    @property
    def worded(self) -> tuple[str, ...]:
        """Columns of words that are read or learnt."""
        return (*self.texts, *self.spoken)

    def words(self, record: Record, column: str) -> str:
        """What a row says there; of messages all that is said in them."""
        text = text_of(record, column)
        messages = column in self.spoken and column.startswith(MADE)
        return "\n".join(_said(json.loads(text))) if messages else text

    @cached_property
    def label(self) -> str | None:
        """The column of classes; None where there is none, or answers are numbers, lists or spans."""
        column = self.roles.label
        if column is None or self.roles.numeric_label:
            return None
        return None if any(isinstance(r.cells.get(column), list | dict) for r in self.records) else column

    @cached_property
    def some(self) -> Sequence[Record]:
        """Evenly taken rows where there are very many: what is a share of rows is the same in 50,000 of them."""
        return list(self.records[:: max(1, -(-len(self.records) // LOOKED_AT))])

    @cached_property
    def labels(self) -> list[str]:
        """Labels of `some`."""
        return [label_of(record, self.label) for record in self.some] if self.label else []

    @property
    def told(self) -> str:
        """What a finding on `some` says of that."""
        some, rows = len(self.some), len(self.records)
        return "" if some == rows else f" (seen in {some} of {rows} rows)"


def _said(value: Any) -> Iterator[str]:
    """Every text in a JSON value, but who says it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (text for each in value for text in _said(each))
    elif isinstance(value, dict):
        yield from (text for key, each in value.items() if key != "role" for text in _said(each))


class Check(Part):
    """One kind of doubt. Its `look` is given rows that have all their texts and a label, unless it is `first`."""

    first: ClassVar[bool] = False
    """Whether it looks at all rows, those that lack something, too."""
    thorough: ClassVar[bool] = False
    """Whether it is left to `data check`: training looks at what costs seconds, not minutes."""

    @abstractmethod
    def look(self, seen: Seen) -> Iterable[Finding]:
        """What there is to say."""


CHECKS: Catalog[Check] = Catalog("tunesmith.checks", "check")


def made(settings: Settings) -> list[Check]:
    """All checks, some with settings. Raises TunesmithError for one that is not known, or cannot be so."""
    for name in settings:
        if name not in CHECKS.names():
            raise TunesmithError(f"checks: {unknown('check', name, CHECKS.names())}")
    try:
        return [CHECKS.make(name, settings.get(name, {})) for name in CHECKS.names()]
    except ValidationError as error:
        told = "; ".join(f"{each['loc'][0]}: {each['msg']}" for each in error.errors())
        raise TunesmithError(f"checks.{error.title.lower()}: {told}") from error


def check(  # noqa: PLR0913 - the rows, what they mean, and what dear checks are given
    records: Sequence[Record], roles: Roles, held_out: Sequence[Record] = (), *, thorough: bool = False,
    states: States | None = None, settings: Settings = MappingProxyType({}), spoken: tuple[str, ...] = (),
) -> list[Finding]:  # fmt: skip
    """All findings, the severe ones first; with `thorough` those of the dear checks, too, which a base may help.
    `spoken`: columns of answers that are learnt as words."""
    from tunesmith.checks.missing_value import whole_rows

    every = Seen(records, roles, spoken=spoken)
    whole = Seen(whole_rows(records, roles), roles, held_out, states, spoken)
    found: list[Finding] = []
    for each in made(settings):
        if thorough or not each.thorough:
            with part(f"check {each.name}"):
                found += each.look(every if each.first else whole)
    return by_severity(found)


def by_severity(found: Iterable[Finding]) -> list[Finding]:
    """The severe ones first, else in their order."""
    return sorted(found, key=lambda f: _ORDER[f.severity])

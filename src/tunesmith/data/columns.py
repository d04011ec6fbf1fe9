"""What the columns of a table hold: kind of value, how many are empty, how many differ. One walk, flat memory."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tunesmith.data.format import excerpt
from tunesmith.data.record import Cell, Record

MOST_DISTINCT = 10_000
"""Different values that are counted; where there are more, that is said."""
FEW = 1000
"""A column of words with no more different values than this, each standing five times on average, is a category."""
_WHOLE = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_DATE = re.compile(r"\s*(\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})([ T].*)?\s*", re.ASCII)
_KINDS = (("whole number", _WHOLE), ("number", _NUMBER), ("date", _DATE))


@dataclass
class Column:
    """What one column holds."""

    name: str
    rows: int = 0
    empty: int = 0
    """Rows without a value, or with blanks alone."""
    kinds: Counter[str] = field(default_factory=Counter)
    """How many values look like what."""
    values: Counter[str] = field(default_factory=Counter)
    """How often values stand, of at most MOST_DISTINCT."""
    example: str = ""

    def add(self, cell: Cell) -> None:
        """One more row."""
        self.rows += 1
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            self.empty += 1
            return
        self.kinds[_kind_of(cell)] += 1
        text = str(cell)
        self.example = self.example or excerpt(text)
        if len(self.values) < MOST_DISTINCT or text in self.values:
            self.values[text] += 1

    @property
    def distinct(self) -> int:
        """How many values differ; MOST_DISTINCT stands for that many or more."""
        return len(self.values)

    @property
    def kind(self) -> str:
        """whole number, number, date, category, identifier, text, yes/no, list, mixed, or empty."""
        filled = self.rows - self.empty
        found = set(self.kinds)
        if not filled:
            return "empty"
        if found <= {"whole number", "number"}:
            return "number" if "number" in found else "identifier" if self._all_differ() else "whole number"
        if len(found) > 1 and self.kinds.most_common(1)[0][1] < 0.99 * filled:
            return "mixed" if "text" not in found else self._words(filled)
        kind = self.kinds.most_common(1)[0][0]
        return self._words(filled) if kind == "text" else kind

    def _all_differ(self) -> bool:
        return self.rows - self.empty == self.distinct >= 20

    def _words(self, filled: int) -> str:
        if self.distinct <= FEW and filled >= 5 * self.distinct:
            return "category"
        one_word = all(" " not in value for value in list(self.values)[:50])
        return "identifier" if self._all_differ() and one_word and max(map(len, self.values)) <= 40 else "text"

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        about = {k: v for k, v in asdict(self).items() if k not in ("kinds", "values")}
        return about | {"kind": self.kind, "distinct": self.distinct, "distinct_counted": self._counted()}

    def _counted(self) -> bool:
        """Whether `distinct` is a count and no lower bound."""
        return self.distinct < MOST_DISTINCT


def _kind_of(cell: Cell) -> str:
    if isinstance(cell, bool):
        return "yes/no"
    if isinstance(cell, int | float):
        return "whole number" if isinstance(cell, int) or cell.is_integer() else "number"
    if not isinstance(cell, str):
        return "list"
    return next((kind for kind, pattern in _KINDS if pattern.fullmatch(cell)), "text")


def columns_of(names: Sequence[str], records: Iterable[Record]) -> list[Column]:
    """Each column, in the order of the table."""
    found = [Column(name) for name in names]
    for record in records:
        for column in found:
            column.add(record.cells.get(column.name))
    return found

"""CSV, TSV and their kin: which delimiter, where rows begin, and what is wrong with a row."""

import csv
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import StringIO
from itertools import islice
from typing import NamedTuple

from tunesmith.data.format import listed
from tunesmith.errors import TunesmithError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
_SAMPLE_ROWS, _SAMPLE_CHARACTERS = 200, 1 << 18
_UNLIMITED = (1 << 31) - 1


class Fault(NamedTuple):
    """What is wrong with a row and where: line and column, from 1."""

    line: int
    column: int
    what: str
    shown: str
    remedy: str


class Scanned(NamedTuple):
    """A row as it was found; a fault instead of cells when it cannot be told apart from its neighbours."""

    line: int
    cells: list[str]
    fault: Fault | None = None


def physical_lines(text: str) -> list[str]:
    r"""Lines with their ends; only \n, \r\n and \r end a line (not U+2028 and its like, which occur in texts)."""
    return list(StringIO(text, newline=""))


def name_of(delimiter: str) -> str:
    """A delimiter in words."""
    return DELIMITERS.get(delimiter, f"'{delimiter}'")


def detect(text: str, usual: str, source: str) -> tuple[str, str]:
    """The delimiter and a sentence on it. `usual` is the one that the suffix promises."""
    sample = text[:_SAMPLE_CHARACTERS]
    if len(text) > len(sample):
        sample = sample[: sample.rfind("\n") + 1] or sample
    shares = {d: _agreement(sample, d) for d in DELIMITERS if d in sample}
    best = max(shares.values(), default=0.0)
    leading = [d for d, share in shares.items() if share == best]
    if best < 0.5:  # no delimiter splits even half of the rows alike: one column, or the suffix is right
        found = usual if shares.get(usual) else ""
        return (found or usual), f"delimiter {name_of(usual)} (from the suffix)" if found else "one column"
    if len(leading) > 1 and usual not in leading:
        raise TunesmithError(
            f"{source}:1:1: {' and '.join(map(name_of, leading))} both split every row alike. "
            f"Say which one it is: data.format.delimiter: {listed(leading)}"
        )
    chosen = usual if usual in leading else leading[0]
    told = f"delimiter {name_of(chosen)} (detected)"
    return chosen, told


def _agreement(sample: str, delimiter: str) -> float:
    """Share of the first rows that have the most common number of cells, if that is 2 or more."""
    with _long_cells():
        rows = islice(csv.reader(StringIO(sample, newline=""), delimiter=delimiter), _SAMPLE_ROWS)
        counts = Counter(len(cells) for cells in rows if cells)
    width, agreeing = counts.most_common(1)[0] if counts else (0, 0)
    return agreeing / counts.total() if width > 1 else 0.0


def scan(lines: Iterable[str], delimiter: str, quotes: str) -> Iterator[Scanned]:
    """All rows; a blank line gives no cells and no fault. After a fault the scan goes on with the next line."""
    if quotes == "none" or len(delimiter) > 1:
        return _plain(lines, delimiter)
    return _quoted(lines, delimiter)


def _plain(lines: Iterable[str], delimiter: str) -> Iterator[Scanned]:
    for number, line in enumerate(lines, 1):
        bare = line.rstrip("\r\n")
        yield Scanned(number, bare.split(delimiter) if bare else [])


class _Tape:
    """Lines that can be wound back to the beginning of the row that is being read."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines, self._again = iter(lines), deque[str]()
        self.row: list[str] = []
        """Lines handed out since the last whole row."""

    def __iter__(self) -> "_Tape":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.row.append(line)
        return line

    def skip_line(self) -> None:
        """Wind back to the second line of the row."""
        self._again.extendleft(reversed(self.row[1:]))
        self.row = []

    def ended(self) -> bool:
        """Whether no line is left."""
        if not self._again:
            self._again.extend(islice(self._lines, 1))
        return not self._again


def _quoted(lines: Iterable[str], delimiter: str) -> Iterator[Scanned]:
    tape, start = _Tape(lines), 0
    while not tape.ended():
        try:
            with _long_cells():
                for cells in csv.reader(tape, delimiter=delimiter, strict=True):
                    yield Scanned(start + 1, cells)
                    start += len(tape.row)
                    tape.row = []
        except csv.Error:
            yield Scanned(start + 1, [], _explain("".join(tape.row), start, delimiter))
            tape.skip_line()
            start += 1


@contextmanager
def _long_cells() -> Iterator[None]:
    """csv refuses cells of more than 128 KiB by a limit that holds for the whole process."""
    limit = csv.field_size_limit(_UNLIMITED)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _explain(record: str, start: int, delimiter: str) -> Fault:
    """Where the quotes of a row go wrong, walked letter by letter (only ever for a row that csv refused)."""
    opened, at, quoted, fresh = 0, 0, False, True
    while 0 <= at < len(record):
        letter = record[at]
        if quoted and letter == '"' and record[at + 1 : at + 2] == '"':
            at += 1
        elif quoted and letter == '"':
            quoted = False
            if record[at + 1 : at + 2] not in {delimiter, "\r", "\n", ""}:
                return _fault(
                    record, at + 1, start, "text follows a closing quote", "Double quotes inside a quoted cell"
                )
        elif letter == '"' and fresh:
            quoted, opened = True, at
        fresh = not quoted and letter in {delimiter, "\r", "\n"}
        at = record.find('"', at + 1) if quoted else at + 1
    return _fault(record, opened, start, "this quote is never closed", "Close it")


def _fault(record: str, at: int, start: int, what: str, remedy: str) -> Fault:
    line, column = position(record, at)
    shown = physical_lines(record[max(0, at - column + 1) :])[0].rstrip("\r\n")
    also = "if quotes mean nothing in this file: data.format.quotes: none"
    return Fault(start + line, column, what, shown[max(0, column - 40) :], f"{remedy}; {also}")


def position(text: str, at: int) -> tuple[int, int]:
    """(line, column) of a place in a text, both from 1."""
    before = physical_lines(text[:at] + "x")
    return len(before), len(before[-1])


def width_fault(row: Scanned, names: list[str], delimiter: str, last: bool) -> Fault:
    """A row with more or fewer cells than there are columns; the column is where the surplus or the gap begins."""
    found, expected = len(row.cells), len(names)
    kept = row.cells[:expected]
    column = sum(map(len, kept)) + len(delimiter) * (len(kept) - (found <= expected)) + 1
    what = f"{found} cells, but there are {expected} columns ({listed(names)})"
    if found > expected:
        remedy = f"Quote cells that hold a {name_of(delimiter)}, or name another data.format.delimiter"
    else:
        remedy = "Is the file cut off? Complete its last line" if last else "Add the missing cells (empty is allowed)"
    return Fault(row.line, column, what, delimiter.join(row.cells), f"{remedy}; or data.format.on_bad: drop")


def quotes_are_text(lines: Callable[[], Iterable[str]], delimiter: str, source: str) -> bool:
    """Whether the quotes of a tab-separated file are letters of its texts. `lines` gives them anew at each call.

    A program that writes such files quotes a whole column, or only cells that need it (a quote, a tab or a line break
    inside). Where neither holds (`"Hello" he said`), or where reading quotes breaks rows, they belong to the text.
    Where both readings give good rows, but not the same number of them, the user must say.
    """
    plain = (row.cells for row in _plain(lines(), delimiter) if row.cells)
    head = next(plain, None)
    if head is None:
        return False
    columns, count = [_Wrapping() for _ in head], 1
    for cells in plain:
        count += 1
        if len(cells) != len(head):
            return False
        for column, cell in zip(columns, cells, strict=True):
            column.add(cell)
    if count == 1:  # the only row is no header
        columns = [_Wrapping(cell) for cell in head]
    also = 0
    for row in _quoted(lines(), delimiter):
        if row.fault or (row.cells and len(row.cells) != len(head)):
            return True
        also += bool(row.cells)
    if also != count:
        raise TunesmithError(
            f"{source}:1:1: quotes can be read in two ways: as letters ({count} rows), or around line breaks "
            f"({also} rows). Say data.format.quotes: none or standard"
        )
    return any(column.some_needless for column in columns)


class _Wrapping:
    """Whether cells of a column are wrapped in quotes, and whether they need it."""

    def __init__(self, *cells: str) -> None:
        self._needless, self._cells, self._wrapped = False, 0, 0
        for cell in cells:
            self.add(cell)

    def add(self, cell: str) -> None:
        """One more cell."""
        self._cells += 1
        if len(cell) > 1 and cell[0] == cell[-1] == '"':
            self._wrapped += 1
            self._needless = self._needless or ('"' not in cell[1:-1] and cell != '""')

    @property
    def some_needless(self) -> bool:
        """Whether some cells alone are wrapped, and one without need."""
        return self._wrapped < self._cells and self._needless

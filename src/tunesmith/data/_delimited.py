"""CSV, TSV and their kin: which delimiter, where rows begin, and what is wrong with a row."""

import csv
from collections import Counter
from collections.abc import Iterator
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


def scan(text: str, delimiter: str, quotes: str) -> Iterator[Scanned]:
    """All rows; a blank line gives no cells and no fault. After a fault the scan goes on with the next line."""
    lines = physical_lines(text)
    if quotes == "none" or len(delimiter) > 1 or '"' not in text:
        return _plain(lines, delimiter)
    return _quoted(lines, delimiter)


def _plain(lines: list[str], delimiter: str) -> Iterator[Scanned]:
    for number, line in enumerate(lines, 1):
        bare = line.rstrip("\r\n")
        yield Scanned(number, bare.split(delimiter) if bare else [])


def _quoted(lines: list[str], delimiter: str) -> Iterator[Scanned]:
    start = 0
    while start < len(lines):
        first = start
        reader = csv.reader(map(lines.__getitem__, range(first, len(lines))), delimiter=delimiter, strict=True)
        try:
            with _long_cells():
                for cells in reader:
                    yield Scanned(start + 1, cells)
                    start = first + reader.line_num
        except csv.Error:
            yield Scanned(start + 1, [], _explain("".join(lines[start : first + reader.line_num]), start, delimiter))
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


def quotes_are_text(text: str, delimiter: str, source: str) -> bool:
    """Whether the quotes of a tab-separated file are letters of its texts.

    A program that writes such files quotes a whole column, or only cells that need it (a quote, a tab or a line break
    inside). Where neither holds (`"Hello" he said`), or where reading quotes breaks rows, they belong to the text.
    Where both readings give good rows, but not the same number of them, the user must say.
    """
    plain = [row for row in _plain(physical_lines(text), delimiter) if row.cells]
    if len({len(row.cells) for row in plain}) != 1:
        return False
    quoted = [row for row in _quoted(physical_lines(text), delimiter) if row.cells or row.fault]
    if any(row.fault for row in quoted) or {len(row.cells) for row in quoted} != {len(plain[0].cells)}:
        return True
    if len(quoted) != len(plain):
        raise TunesmithError(
            f"{source}:1:1: quotes can be read in two ways: as letters ({len(plain)} rows), or around line breaks "
            f"({len(quoted)} rows). Say data.format.quotes: none or standard"
        )
    body = plain[1:] or plain
    return any(_some_needless([row.cells[i] for row in body]) for i in range(len(plain[0].cells)))


def _some_needless(cells: list[str]) -> bool:
    wrapped = [c for c in cells if len(c) > 1 and c[0] == c[-1] == '"']
    return len(wrapped) < len(cells) and any('"' not in c[1:-1] for c in wrapped if c != '""')

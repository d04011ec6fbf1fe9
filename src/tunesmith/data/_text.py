"""Text tables: plain lines, `text<delimiter>label` lines, CSV and TSV become named rows."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from tunesmith.data import _delimited
from tunesmith.data._content import Text
from tunesmith.data._delimited import Fault, Scanned
from tunesmith.data._header import LOOKED_AT, is_header
from tunesmith.data.format import BadRows, Format, check_names, listed, refusal, select_columns
from tunesmith.data.names import plain
from tunesmith.data.stored import Line, table_rows
from tunesmith.errors import TunesmithError

USUAL = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_LABEL_LAST = ("text", "label")


@dataclass
class Parsed:
    """What a reader of one format found."""

    columns: tuple[str, ...]
    rows: Sequence[Line]
    notes: list[str] = field(default_factory=list)


def read(text: Text, suffix: str, form: Format, bad: BadRows) -> Parsed:
    """Rows of a text file, by the format and the suffix."""
    if form.label_last:
        return _label_last(text, form, bad)
    if suffix == ".txt" and form.delimiter is None:
        return _lines(text, form, bad)
    delimiter, told = form.delimiter, "delimiter as data.format.delimiter says"
    if delimiter is None:
        delimiter, told = _delimited.detect(text.head, USUAL.get(suffix, ","), bad.source)
    quotes, said = form.quotes, [told]
    if quotes is None:
        literal = delimiter == "\t" and text.quoted and _delimited.quotes_are_text(text.lines, delimiter, bad.source)
        quotes = "none" if literal else "standard"
        said += ["quotes are part of the text (data.format.quotes: standard would remove them)"] * literal
    if not text.quoted:
        quotes = "none"
    return _named(lambda: _delimited.scan(text.lines(), delimiter, quotes), _Layout(delimiter, said), form, bad)


def _label_last(text: Text, form: Format, bad: BadRows) -> Parsed:
    """`text<delimiter>label`, split at the last delimiter: texts may hold it, labels may not."""
    delimiter = form.delimiter or _in_every_line((bare for line in text.lines() if (bare := _bare(line))), bad.source)

    def scan() -> Iterator[Scanned]:
        for number, line in enumerate(map(_bare, text.lines()), 1):
            cells = line.rsplit(delimiter, 1) if line else []
            fault = None
            if len(cells) == 1:
                what = f"no {_delimited.name_of(delimiter)} before a label"
                fault = Fault(number, len(line) + 1, what, line, "Each line is text, delimiter, label")
            yield Scanned(number, cells, fault)

    told = [f"split at the last {_delimited.name_of(delimiter)} of each line"]
    return _named(scan, _Layout(delimiter, told, _LABEL_LAST), form, bad)


def _bare(line: str) -> str:
    return line.rstrip("\r\n")


def _in_every_line(lines: Iterable[str], source: str) -> str:
    found = list(_delimited.DELIMITERS)
    for line in lines:
        found = [d for d in found if d in line]
        if not found:
            break
    if len(found) == 1:
        return found[0]
    raise TunesmithError(
        f"{source}:1:1: cannot tell what stands before the label: {listed(found) or 'no usual delimiter'} "
        "occurs in every line. Say data.format.delimiter"
    )


def _lines(text: Text, form: Format, bad: BadRows) -> Parsed:
    """One text a line; no header unless the format says so."""
    if form.header is None:
        form = form.model_copy(update={"header": False})

    def scan() -> Iterator[Scanned]:
        return (Scanned(number, [line] if line else []) for number, line in enumerate(map(_bare, text.lines()), 1))

    return _named(scan, _Layout("\n", ["one text a line"], ("text",)), form, bad)


class _Layout(NamedTuple):
    """How the lines were split: the delimiter, notes on it, and the names of columns that have no header."""

    delimiter: str
    notes: list[str]
    usual: tuple[str, ...] = ()


def _named(scan: Callable[[], Iterator[Scanned]], layout: _Layout, form: Format, bad: BadRows) -> Parsed:
    """Give the columns their names, then tell good rows from bad ones. `scan` gives all rows anew at each call."""
    delimiter, notes, usual = layout
    rows = list(islice((row for row in scan() if row.cells or row.fault), LOOKED_AT + 1))
    if not rows:
        raise TunesmithError(f"{bad.source}:1:1: the file holds no rows. Name a file with data")
    if (fault := rows[0].fault) and (form.header is not False or bad.on_bad == "refuse"):
        raise refusal(f"{bad.source}:{fault.line}:{fault.column}", fault.what, fault.shown, fault.remedy)
    has_header, why = first_row_is_header(rows, form, bad.source)
    before = len(notes)
    notes.append(f"first row is {'the header' if has_header else 'data'} ({why})")
    first = rows[0] if has_header else _typical(scan, bad.source)
    if usual and not has_header and form.columns is None:
        form = form.model_copy(update={"columns": usual})
    name = names_from_header if has_header else names_without_header
    names = name(first, form, bad.source, notes)
    if has_header and len(rows) == 1:
        raise TunesmithError(f"{bad.source}:{first.line}:1: the file holds a header and no rows. Name a file with data")
    check_names([name for name in names if name], f"{bad.source}:{first.line}")
    body = _Body(scan(), skip=int(has_header))
    good = table_rows(_good(body, names, first.cells if has_header else [], delimiter, bad), bad.tick)
    notes[before:before] = [f"{body.blank} blank lines skipped"] * bool(body.blank)
    return Parsed(tuple(name for name in names if name), good, notes)


class _Body:
    """The rows that are not blank, without the header; it counts blank lines, and knows the last row."""

    def __init__(self, rows: Iterator[Scanned], skip: int) -> None:
        self.blank, self.last = 0, False
        self._rows, self._skip = rows, skip

    def __iter__(self) -> Iterator[Scanned]:
        full = islice(self._full(), self._skip, None)
        held = next(full, None)
        while held is not None:
            following = next(full, None)
            self.last = following is None
            yield held
            held = following

    def _full(self) -> Iterator[Scanned]:
        for row in self._rows:
            if row.cells or row.fault:
                yield row
            else:
                self.blank += 1


def _typical(scan: Callable[[], Iterator[Scanned]], source: str) -> Scanned:
    """The first row as wide as most: where no header says it, one broken row must not decide."""
    widths = Counter(len(row.cells) for row in scan() if row.cells and not row.fault)
    if not widths:  # not one row can be read: the first one says why
        fault = next(row.fault for row in scan() if row.fault)
        raise refusal(f"{source}:{fault.line}:{fault.column}", fault.what, fault.shown, fault.remedy)
    width = widths.most_common(1)[0][0]
    return next(row for row in scan() if len(row.cells) == width and not row.fault)


def first_row_is_header(rows: list[Scanned], form: Format, source: str) -> tuple[bool, str]:
    """Whether the first row names the columns, and why; refused when it cannot be told."""
    if form.header is not None:
        return form.header, "as said"
    first = rows[0].cells
    if form.columns and {plain(name) for name in form.columns} <= {plain(cell) for cell in first}:
        return True, "it holds names in data.format.columns"
    found, why = is_header(first, [row.cells for row in rows[1:]])
    if found and form.columns and len(form.columns) == len(first):
        found, why = None, f"{why}, yet data.format.columns names other columns"
    if found is None:
        raise refusal(
            f"{source}:{rows[0].line}:1",
            f"cannot tell whether the first row is a header: {why}",
            " | ".join(first),
            "Say data.format.header: true or false",
        )
    return found, why


def names_from_header(first: Scanned, form: Format, source: str, notes: list[str]) -> list[str]:
    """Names of the columns, spaces around them removed; "" for a column that the format does not choose."""
    found = [cell.strip() for cell in first.cells]
    spaced = [cell for cell, name in zip(first.cells, found, strict=True) if cell != name]
    notes += [f"spaces removed around the column names {listed(spaced)}"] * bool(spaced)
    if form.columns is None:
        check_names(found, f"{source}:{first.line}")
    names = select_columns(form.columns, found, source, rename=True)
    left_out = [name for name, kept in zip(found, names, strict=True) if not kept]
    notes += [f"columns not read: {listed(left_out)}"] * bool(left_out)
    return names


def names_without_header(first: Scanned, form: Format, source: str, notes: list[str]) -> list[str]:
    """Names for the columns of a file that has none: the ones in the format, or column_1, column_2 …"""
    width = len(first.cells)
    if form.columns is None:
        notes.append("columns have no names: column_1, column_2 … (data.format.columns names them)")
        return [f"column_{i}" for i in range(1, width + 1)]
    if len(form.columns) != width:
        raise refusal(
            f"{source}:{first.line}:1",
            f"data.format.columns names {len(form.columns)} columns, but the first row has {width} cells",
            " | ".join(first.cells),
            "Name one column for each cell, or another data.format.delimiter",
        )
    return list(form.columns)


def _good(body: _Body, names: list[str], header: list[str], delimiter: str, bad: BadRows) -> Iterator[Line]:
    width, kept, nul = len(names), [i for i, name in enumerate(names) if name], "\0"
    for number, row in enumerate(body, 1):
        cells, fault = row.cells, row.fault
        if fault is None and len(cells) != width:
            fault = _delimited.width_fault(row, names, delimiter, body.last)
        elif fault is None and any(nul in cell for cell in cells):
            joined = delimiter.join(cells)
            remedy = "Remove it: is this a text file?"
            fault = Fault(row.line, joined.index(nul) + 1, "the row holds a NUL character", joined, remedy)
        elif fault is None and width > 1 and cells == header:
            fault = Fault(
                row.line, 1, "the row repeats the header", delimiter.join(cells), "Remove it: were files joined?"
            )
        if fault:
            bad.meet(number, f"{row.line}:{fault.column}", fault.what, fault.shown, fault.remedy)
        elif len(kept) == width:
            yield row.line, dict(zip(names, cells, strict=True))
        else:
            yield row.line, {names[i]: cells[i] for i in kept}

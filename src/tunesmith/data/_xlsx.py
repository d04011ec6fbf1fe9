"""XLSX by openpyxl: text stays text, numbers stay numbers, formulas give their stored values or are refused."""

import datetime
import zipfile
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from tunesmith.data import _text
from tunesmith.data._delimited import Scanned
from tunesmith.data._json import Found, to_table
from tunesmith.data._source import check_ratio
from tunesmith.data._text import Parsed
from tunesmith.data.format import BadRows, Format, check_names, excerpt, listed, refusal
from tunesmith.errors import TunesmithError

_Row = tuple[int, list[Any]]


def read(content: memoryview, form: Format, bad: BadRows) -> Parsed:
    """The rows of one sheet; wholly empty rows are skipped, a row's line is its number in the sheet."""
    _check_parts(content, bad.source)
    sheet, rows, notes = _rows(content, form, bad.source)
    notes.append(f"sheet '{sheet}'")
    words = [Scanned(n, ["" if v is None else str(v) for v in cells]) for n, cells in rows]
    if not words:
        raise TunesmithError(f"{bad.source}:1:1: the sheet holds no rows. Name a file with data")
    has_header, why = _text.first_row_is_header(words, form, bad.source)
    notes.append(f"first row is {'the header' if has_header else 'data'} ({why})")
    body = rows[1:] if has_header else rows
    name = _text.names_from_header if has_header else _text.names_without_header
    names = name(words[0], form, bad.source, notes)
    check_names([n for n in names if n], f"{bad.source}:{rows[0][0]}")
    found = [_found(number, row, names) for number, row in enumerate(body, 1)]
    table = to_table(found, Format(), bad, suspect=False)
    return Parsed(table.columns, table.rows, notes + table.notes)


def _found(number: int, row: _Row, names: Sequence[str]) -> Found:
    line, cells = row
    surplus = [v for v in cells[len(names) :] if v is not None]
    if surplus:
        return Found(number, line, len(names) + 1, None, "a cell beyond the last column of the header", str(surplus[0]))
    filled = [*cells, *[None] * (len(names) - len(cells))]
    return Found(number, line, 1, {name: v for name, v in zip(names, filled, strict=False) if name})


def _rows(content: memoryview, form: Format, source: str) -> tuple[str, list[_Row], list[str]]:
    try:
        import openpyxl
    except ImportError as error:
        raise TunesmithError(
            f"{source}: reading .xlsx needs openpyxl. Install it: pip install 'tunesmith[xlsx]'"
        ) from error
    try:
        book = openpyxl.load_workbook(BytesIO(content), read_only=True)
        title = _sheet(book, form.sheet, source)
        rows, formulas, notes = _cells(book[title], source)
        if formulas:
            stored = openpyxl.load_workbook(BytesIO(content), read_only=True, data_only=True)[title]
            _fill(rows, formulas, list(stored.iter_rows(values_only=True)), source)
        return title, [row for row in rows if row[1]], notes
    except TunesmithError:
        raise
    except Exception as error:  # openpyxl lets KeyError, ValueError, BadZipFile, ParseError … through
        what = f"{type(error).__name__}: {excerpt(str(error))}"
        raise TunesmithError(f"{source}: the workbook is damaged ({what}). Save it again") from error


def _sheet(book: Any, asked: str | None, source: str) -> str:
    titles = [sheet.title for sheet in book.worksheets]
    if asked is not None:
        if asked in titles:
            return asked
        raise TunesmithError(f"data.format.sheet: {source} has no sheet '{asked}'. Sheets: {listed(titles)}")
    full = [
        s.title for s in book.worksheets if any(v is not None for row in s.iter_rows(values_only=True) for v in row)
    ]
    if len(full) > 1:
        raise TunesmithError(f"{source}: several sheets hold data: {listed(full)}. Name one: data.format.sheet")
    return str((full or titles)[0])


def _cells(sheet: Any, source: str) -> tuple[list[_Row], list[tuple[int, int, str]], list[str]]:
    """Values of all rows, where formulas stand (row, column, formula), and notes."""
    rows, formulas, dates = list[_Row](), list[tuple[int, int, str]](), 0
    for number, cells in enumerate(sheet.iter_rows(), 1):
        values: list[Any] = []
        for column, cell in enumerate(cells, 1):
            value = cell.value
            if cell.data_type == "e":
                raise refusal(f"{source}:{number}:{column}", "an error value", str(value), "Repair the cell")
            if cell.data_type == "f":
                formulas.append((number, column, str(value)))
            elif isinstance(value, datetime.date | datetime.time):
                value, dates = value.isoformat(), dates + 1
            values.append(value)
        while values and values[-1] is None:
            values.pop()
        rows.append((number, values))
    notes = [f"{len(formulas)} formulas read as their stored values"] * bool(formulas)
    return rows, formulas, notes + [f"{dates} dates read as ISO 8601 text"] * bool(dates)


def _fill(rows: list[_Row], formulas: list[tuple[int, int, str]], stored: list[Any], source: str) -> None:
    """Put in place of each formula the value that the spreadsheet program stored for it."""
    for number, column, formula in formulas:
        value = stored[number - 1][column - 1]
        if value is None:
            remedy = "Open it in a spreadsheet program and save it, or paste the values"
            raise refusal(f"{source}:{number}:{column}", "a formula without a stored value", formula, remedy)
        if isinstance(value, str) and value.startswith("#") and value.endswith(("!", "?", "/A", "/0")):
            raise refusal(f"{source}:{number}:{column}", "a formula that gives an error", value, "Repair the cell")
        rows[number - 1][1][column - 1] = value.isoformat() if isinstance(value, datetime.date) else value


def _check_parts(content: memoryview, source: str) -> None:
    """Refuse what could hurt the XML reader: bombs, and document types (entities)."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        check_ratio(len(content), sum(item.file_size for item in archive.infolist()), source)
        for item in archive.infolist():
            if not item.filename.endswith((".xml", ".rels")):
                continue
            with archive.open(item) as part:
                if b"<!DOCTYPE" in part.read(4096):
                    raise TunesmithError(f"{source}: {item.filename} declares a document type. Save the workbook again")

"""B22: what csv, json and pyarrow write is read back identical, for tables drawn by hypothesis."""

import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.table import Format, read
from tunesmith.errors import TunesmithError

FEW = settings(max_examples=60, deadline=None, database=None)
letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(letters, max_size=12) | st.sampled_from(
    ["NA", "007", "1e5", "", " ", "a,b", 'q"q', "l\r\nl", "\r", "；"]
)
names = st.lists(st.text(st.characters(categories=["L"]), min_size=1, max_size=6), min_size=1, max_size=4, unique=True)


@st.composite
def tables(draw: st.DrawFn, cell: st.SearchStrategy[Any] = texts) -> tuple[list[str], list[list[Any]]]:
    columns = draw(names)
    rows = draw(st.lists(st.lists(cell, min_size=len(columns), max_size=len(columns)), min_size=1, max_size=8))
    return columns, [row for row in rows if len(columns) == 1 or row != columns] or [["x"] * len(columns)]


def back(name: str, content: bytes, format: Format | None = None) -> tuple[list[str], list[list[Any]]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        table = read(path, format)
    assert not table.bad
    return list(table.columns), [list(cells.values()) for _, cells in table.rows]


@FEW
@given(
    tables(), st.sampled_from([",", ";", "\t", "|"]), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.booleans()
)
def test_csv(table: Any, delimiter: str, encoding: str, quote_all: bool) -> None:
    out = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    csv.writer(out, delimiter=delimiter, quoting=quoting).writerows([table[0], *table[1]])
    named = Format(header=True, delimiter=delimiter, quotes="standard")
    assert back("t.csv", out.getvalue().encode(encoding), named) == table


@FEW
@given(tables(), st.booleans())
def test_tsv_with_detected_quotes(table: Any, quote_all: bool) -> None:
    out = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    csv.writer(out, delimiter="\t", quoting=quoting).writerows([table[0], *table[1]])
    try:
        columns, rows = back("t.tsv", out.getvalue().encode(), Format(header=True, delimiter="\t"))
    except TunesmithError as error:
        assert "Say data.format.quotes" in str(error)
        return
    literal = [line.split("\t") for line in out.getvalue().split("\r\n") if line]
    # one honest exception: cells that a minimal writer quotes for reasons other than quote, tab or line end
    assert (columns, rows) == table or [columns, *rows] == literal


values = st.none() | texts


@FEW
@given(tables(values), st.booleans())
def test_json_and_json_lines(table: Any, ascii: bool) -> None:
    columns, rows = table
    dicts = [dict(zip(columns, row, strict=True)) for row in rows]
    lines = "\n".join(json.dumps(row, ensure_ascii=ascii) for row in dicts)
    assert back("t.jsonl", lines.encode()) == table
    assert back("t.json", json.dumps(dicts, ensure_ascii=ascii, indent=1).encode()) == table


@FEW
@given(
    st.lists(st.tuples(values, st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.booleans()), min_size=1)
)
def test_parquet(rows: list[tuple[Any, ...]]) -> None:
    columns = ["t", "i", "f", "b"]
    out = io.BytesIO()
    data = {name: list(cells) for name, cells in zip(columns, zip(*rows, strict=True), strict=True)}
    pq.write_table(
        pa.table(data, schema=pa.schema([("t", pa.string()), ("i", "int64"), ("f", "float64"), ("b", "bool")])), out
    )
    assert back("t.parquet", out.getvalue()) == (columns, [list(row) for row in rows])


@FEW
@given(st.lists(st.text(letters, min_size=1).filter(lambda t: not set(t) & set("\r\n")), min_size=1))
def test_plain_lines(lines: list[str]) -> None:
    content = "\n".join(lines)
    if content.strip():
        assert (
            back("t.txt", content.encode(), Format(encoding="utf-8"))[1] == [[line] for line in lines]
            or content[0] in "{[\ufeff"
        )


@FEW
@given(st.binary(max_size=200), st.sampled_from(["csv", "tsv", "json", "jsonl", "txt", "parquet", "xlsx", "csv.gz"]))
def test_any_bytes_are_read_or_refused(content: bytes, suffix: str) -> None:
    try:
        back(f"t.{suffix}", content)
    except TunesmithError as error:
        assert str(error).isprintable()  # nothing in a file may reach the terminal as a control code

"""Parquet by pyarrow: texts, numbers and lists keep their type, times become ISO 8601 text."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tunesmith.data._source import MAX_BYTES
from tunesmith.data._text import Parsed
from tunesmith.data.format import BadRows, Format, check_names, find_column, listed
from tunesmith.data.stored import Line, table_rows
from tunesmith.errors import TunesmithError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_BATCH = 4096
"""Rows turned into Python values at once."""


def read(content: memoryview, form: Format, bad: BadRows) -> Parsed:
    """All rows of a Parquet file, or of the chosen columns, a batch at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(pa.py_buffer(content)))
        names = file.schema_arrow.names
        wanted = [find_column(name, names, bad.source) for name in form.columns or names]
        check_names(names if form.columns is None else wanted, f"{bad.source}:0")
        _check_size(file.metadata, bad.source)
        notes = ["Parquet"] + [f"columns not read: {listed(n for n in names if n not in wanted)}"] * (
            len(wanted) < len(names)
        )
        for name in wanted:
            notes += _check_type(name, file.schema_arrow.field(name).type, bad.source)
        if not file.metadata.num_rows:
            raise TunesmithError(f"{bad.source}: the Parquet file holds no rows. Name a file with data")
        rows = table_rows(_rows(file, wanted, bad.source), bad.tick)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        what = str(error).split("\n", maxsplit=1)[0][:200]
        raise TunesmithError(f"{bad.source}: the Parquet file is damaged or cut off: {what}. Write it again") from error
    return Parsed(tuple(wanted), rows, notes)


def _rows(file: "pq.ParquetFile", wanted: list[str], source: str) -> Iterator[Line]:
    before = 0
    for batch in file.iter_batches(_BATCH, columns=wanted):
        columns = [_cells(name, batch.column(name), source, before) for name in wanted]
        before += batch.num_rows
        for cells in zip(*columns, strict=True):
            yield 0, dict(zip(wanted, cells, strict=True))


def _check_size(metadata: Any, source: str) -> None:
    size = max((metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)), default=0)
    if size > MAX_BYTES:
        raise TunesmithError(
            f"{source}: a row group of {size} bytes is more than the {MAX_BYTES} read at once. Write smaller row groups"
        )


def _value_type(kind: "pa.DataType") -> "pa.DataType":
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _check_type(name: str, kind: "pa.DataType", source: str) -> list[str]:
    """A note where values are rewritten; types that have no exact counterpart are refused by name."""
    import pyarrow as pa

    kind = _value_type(kind)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return [f"column '{name}': {kind} read as ISO 8601 text"]
    if not _is_plain(kind):
        remedy = f"Cast '{name}' to text or numbers, or leave it out: data.format.columns"
        raise TunesmithError(f"{source}: column '{name}' is of type {kind}, which cannot be read exactly. {remedy}")
    return []


def _cells(name: str, column: "pa.Array", source: str, before: int) -> list[Any]:
    """Python values of a column of a batch, before which so many rows stand."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = _value_type(column.type)
    if kind != column.type:
        column = column.cast(kind)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return [None if value is None else value.isoformat() for value in _times(column)]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        nul = pc.match_substring(column, "\0")
        if pc.any(nul).as_py():
            row = before + pc.index(nul, True).as_py() + 1
            raise TunesmithError(f"{source}: row {row}, column '{name}': the text holds a NUL character. Remove it")
    values: list[Any] = column.to_pylist()
    return values


def _times(column: "pa.Array") -> list[Any]:
    """Datetimes; nanoseconds would need pandas, so what is finer than a microsecond must be zero."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz))
    values: list[Any] = column.to_pylist()
    return values


def _is_plain(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    test = pa.types
    if test.is_list(kind) or test.is_large_list(kind) or test.is_fixed_size_list(kind):
        return _is_plain(kind.value_type)
    if test.is_struct(kind):
        return all(_is_plain(kind.field(i).type) for i in range(kind.num_fields))
    checks = (test.is_string, test.is_large_string, test.is_boolean, test.is_integer, test.is_floating, test.is_null)
    return any(check(kind) for check in checks)

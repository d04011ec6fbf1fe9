"""Parquet by pyarrow: texts, numbers and lists keep their type, times become ISO 8601 text."""

from typing import TYPE_CHECKING, Any

from tunesmith.data._source import MAX_BYTES
from tunesmith.data._text import Parsed
from tunesmith.data.format import BadRows, Format, check_names, find_column, listed
from tunesmith.errors import TunesmithError

if TYPE_CHECKING:
    import pyarrow as pa


def read(content: bytes, form: Format, bad: BadRows) -> Parsed:
    """All rows of a Parquet file, or of the chosen columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        names = file.schema_arrow.names
        wanted = [find_column(name, names, bad.source) for name in form.columns or names]
        check_names(names if form.columns is None else wanted, f"{bad.source}:0")
        _check_size(file.metadata, bad.source)
        table = file.read(columns=wanted)
        notes = ["Parquet"] + [f"columns not read: {listed(n for n in names if n not in wanted)}"] * (
            len(wanted) < len(names)
        )
        columns = {name: _cells(name, table.column(name), bad.source, notes) for name in wanted}
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        what = str(error).split("\n", maxsplit=1)[0][:200]
        raise TunesmithError(f"{bad.source}: the Parquet file is damaged or cut off: {what}. Write it again") from error
    if not table.num_rows:
        raise TunesmithError(f"{bad.source}: the Parquet file holds no rows. Name a file with data")
    rows = [(0, dict(zip(wanted, cells, strict=True))) for cells in zip(*columns.values(), strict=True)]
    return Parsed(tuple(wanted), rows, notes)


def _check_size(metadata: Any, source: str) -> None:
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if size > MAX_BYTES:
        raise TunesmithError(
            f"{source}: {size} bytes unpacked are more than the {MAX_BYTES} read at once. Split the file"
        )


def _cells(name: str, column: "pa.ChunkedArray", source: str, notes: list[str]) -> list[Any]:
    """Python values of a column; types that have no exact counterpart are refused by name."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = kind.value_type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        notes.append(f"column '{name}': {kind} read as ISO 8601 text")
        return [None if value is None else value.isoformat() for value in _times(column)]
    if not _is_plain(kind):
        remedy = f"Cast '{name}' to text or numbers, or leave it out: data.format.columns"
        raise TunesmithError(f"{source}: column '{name}' is of type {kind}, which cannot be read exactly. {remedy}")
    if (pa.types.is_string(kind) or pa.types.is_large_string(kind)) and pc.any(
        pc.match_substring(column, "\0")
    ).as_py():
        row = pc.index(pc.match_substring(column, "\0"), True).as_py() + 1
        raise TunesmithError(f"{source}: row {row}, column '{name}': the text holds a NUL character. Remove it")
    values: list[Any] = column.to_pylist()
    return values


def _times(column: "pa.ChunkedArray") -> list[Any]:
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

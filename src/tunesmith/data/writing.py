"""Write rows as a table: CSV, TSV, JSON, JSON Lines, Parquet by suffix; vectors as `.npy`."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunesmith.errors import TunesmithError
from tunesmith.files import write_bytes, write_json


def require_writable(out: Path, source: Path) -> None:
    """Refuse a file of an unknown kind, and one that is read."""
    if out.suffix not in WRITERS:
        raise TunesmithError(f"--out: cannot write '{out.suffix}' files. Known: {', '.join(sorted(WRITERS))}")
    if out.resolve() == source.resolve():
        raise TunesmithError("--out: is the input file itself; choose another name")


def write(out: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    """Rows with these columns, durably."""
    WRITERS[out.suffix](out, columns, rows)


def _write_csv(out: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter="\t" if out.suffix == ".tsv" else ",", lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([[_flat(row[c]) for c in columns] for row in rows])
    write_bytes(out, stream.getvalue().encode())


def _flat(cell: Any) -> Any:
    """A list or an object, which a table of text has no cell for, as JSON."""
    return json.dumps(cell, ensure_ascii=False) if isinstance(cell, list | dict) else cell


def _write_jsonl(out: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    lines = [json.dumps({c: row[c] for c in columns}, ensure_ascii=False) + "\n" for row in rows]
    write_bytes(out, "".join(lines).encode())


def _write_json(out: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    write_json(out, [{c: row[c] for c in columns} for row in rows])


def _write_npy(out: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    import numpy as np

    vectors = [row[columns[-1]] for row in rows]
    if not all(isinstance(each, list) for each in vectors):
        raise TunesmithError("--out: .npy files hold vectors, and this model answers otherwise. Use .jsonl or .csv")
    stream = io.BytesIO()
    np.save(stream, np.array(vectors, dtype=np.float32))
    write_bytes(out, stream.getvalue())


def _write_parquet(out: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tunesmith.files import replacing

    with replacing(out) as temporary:
        pq.write_table(pa.table({c: [row[c] for row in rows] for c in columns}), temporary)


WRITERS: dict[str, Callable[[Path, list[str], list[dict[str, Any]]], None]] = {
    ".csv": _write_csv, ".tsv": _write_csv, ".jsonl": _write_jsonl, ".json": _write_json, ".parquet": _write_parquet,
    ".npy": _write_npy,
}  # fmt: skip

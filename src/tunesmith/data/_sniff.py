"""What a file really is: its first bytes and its first row decide, the suffix breaks ties, a difference is told."""

import zipfile
from io import BytesIO
from typing import Literal

from tunesmith.data import _conll
from tunesmith.data._content import Text
from tunesmith.data._delimited import DELIMITERS, detect
from tunesmith.data._json import DECODER
from tunesmith.data._source import Source
from tunesmith.data._text import USUAL
from tunesmith.errors import TunesmithError

Kind = Literal["delimited", "json", "jsonl", "parquet", "xlsx", "text", "conll"]
BY_SUFFIX: dict[str, Kind] = {
    **dict.fromkeys(USUAL, "delimited"),
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".xlsx": "xlsx",
    ".txt": "text",
    **dict.fromkeys((".conll", ".conllu", ".bio", ".iob", ".iob2", ".bioes"), "conll"),
}
_FOREIGN = {
    b"PK\x05\x06": "an empty zip archive",
    b"BZh": "bzip2-packed",
    b"\xfd7zXZ": "xz-packed",
    b"\x28\xb5\x2f\xfd": "zstd-packed",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a rar archive",
    b"\xd0\xcf\x11\xe0": "an old .xls workbook, or one with a password",
    b"%PDF": "a PDF document",
    b"ARROW1": "an Arrow file",
    b"ORC": "an ORC file",
    b"SQLite format 3": "an SQLite database",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"\x80\x04\x95": "a Python pickle (never read: it can run code)",
}
_REMEDY = f"Give a file of one of these kinds: {', '.join(BY_SUFFIX)} (or one of them as .gz)"


def binary_kind(source: Source) -> Kind | None:
    """parquet or xlsx by content; None for what may be text. Archives and known foreign formats are refused."""
    start = bytes(source.content[:16])
    if not source.content:
        raise TunesmithError(f"{source.name}:1:1: the file is empty. Name a file with data")
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"PK\x03\x04"):
        return _zip(source)
    for magic, what in _FOREIGN.items():
        if start.startswith(magic):
            raise TunesmithError(f"{source.name}: this is {what}. {_REMEDY}")
    return None


def _zip(source: Source) -> Kind:
    try:
        names = zipfile.ZipFile(BytesIO(source.content)).namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise TunesmithError(
            f"{source.name}: a damaged or cut-off workbook or zip archive ({error}). Fetch it again"
        ) from error
    if "xl/workbook.xml" in names:
        return "xlsx"
    raise TunesmithError(
        f"{source.name}: a zip archive of {len(names)} files; which of them is meant cannot be told. Unpack it"
    )


def text_kind(text: Text, source: Source) -> Kind:
    """The kind of a text file."""
    promised = BY_SUFFIX.get(source.suffix)
    if text.blank:
        raise TunesmithError(f"{source.name}:1:1: the file holds only blank lines. Name a file with data")
    start = next(line for line in text.lines("\n") if line.strip()).lstrip()
    if start[0] in "{[" and promised != "conll" and (found := _json_kind(text, promised, source.name)):
        return found
    if promised == "conll" or (promised in {None, "text"} and _conll.looks(text.head)):
        return "conll"
    if promised in {"delimited", "text"}:
        return promised
    if _splits(text.head):
        return "delimited"
    if promised in {"json", "jsonl"}:
        return promised  # its reader says what is wrong, and where
    if promised:
        magic = "'PAR1'" if promised == "parquet" else "'PK'"
        shown = ascii(text.head[:8])[1:-1]
        raise TunesmithError(f"{source.name}: not {promised}: it begins with '{shown}', not {magic}. {_REMEDY}")
    raise TunesmithError(f"{source.name}: the suffix '{source.suffix}' says nothing, nor does the content. {_REMEDY}")


def _json_kind(text: Text, promised: Kind | None, source: str) -> Kind | None:
    """json or jsonl; None where brackets merely begin a text."""
    full = (line.strip() for line in text.lines("\n") if line.strip())
    start, rest = next(full), next(full, "")
    first = _value(start)
    if isinstance(first, dict) and (
        promised == "jsonl" or isinstance(_value(rest), dict) or (not rest and promised is None)
    ):
        return "jsonl"
    if promised in {"delimited", "text"}:
        opens = start in {"[", "{", "[{"} or (isinstance(first, list) and isinstance((first or [0])[0], dict))
        return "json" if opens and _value(text.whole(source)) is not None else None
    if promised == "jsonl":  # an array over several lines, or the only line, is a document
        return "json" if start.startswith("[") and (not rest or first is None) else "jsonl"
    return "json"


def _value(text: str) -> object:
    try:
        return DECODER.decode(text.strip())
    except (ValueError, RecursionError):
        return None


def _splits(text: str) -> bool:
    """Whether a text of unknown kind is clearly a table: printable, and one delimiter splits its first rows."""
    try:
        delimiter, told = detect(text, "", "")
    except TunesmithError:
        return True
    return (
        delimiter in DELIMITERS
        and "detected" in told
        and text[:4096].replace("\n", "").replace("\r", "").replace("\t", "").isprintable()
    )

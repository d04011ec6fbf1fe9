"""Read a data file by what it is: CSV, TSV, JSON, JSON Lines, Parquet, XLSX, CoNLL, text, or a folder of files."""

from pathlib import Path

from tunesmith.data import _conll, _document, _encoding, _folder, _json, _sniff, _source, _text
from tunesmith.data._text import Parsed
from tunesmith.data.format import Bad, BadRows, Format, OnBad, Table
from tunesmith.errors import TunesmithError
from tunesmith.files import digest_file
from tunesmith.progress import Progress

__all__ = ["Bad", "Format", "Table", "read", "require_unchanged"]


def read(
    path: str | Path, fmt: Format | None = None, on_bad: OnBad | None = None, progress: Progress | None = None
) -> Table:
    """The rows of a file, cells unaltered. `on_bad` overrides the format's own."""
    form = fmt or Format()
    if Path(path).is_dir():
        return _folder.read_folder(Path(path), str(path), form, on_bad)
    source = _source.load(path)
    bad = BadRows(source.name, on_bad or form.on_bad)
    kind = _sniff.binary_kind(source)
    parsed, notes = (
        _binary(kind, source, form, bad) if kind else _read_text(source, form, bad, progress or Progress(silent=True))
    )
    if len(bad.found) > len(parsed.rows):
        raise TunesmithError(
            f"{source.name}: {len(bad.found)} of {len(bad.found) + len(parsed.rows)} rows are malformed, so the format "
            f"must be another one. The first: {_first(bad)}. Notes: {'; '.join(notes)}"
        )
    _source.unchanged(source)
    if bad.found:
        notes.append(f"{len(bad.found)} malformed rows left out (data.format.on_bad: drop)")
    return Table(source.name, parsed.columns, parsed.rows, (*source.notes, *notes), source.sha256, tuple(bad.found))


def require_unchanged(path: str | Path, sha256: str) -> None:
    """Refuse a file that is not any more the one whose digest was noted (between prepare and train)."""
    try:
        now = digest_file(Path(path))
    except OSError as error:
        raise TunesmithError(f"{path}: cannot be read again: {error.strerror or error}. Restore the file") from error
    if now != sha256:
        raise TunesmithError(
            f"{path}: changed since it was prepared (sha256 {sha256[:12]}… then, {now[:12]}… now). Start again"
        )


def _binary(kind: _sniff.Kind, source: _source.Source, form: Format, bad: BadRows) -> tuple[Parsed, list[str]]:
    told = _told(kind, source)
    if kind == "parquet":
        from tunesmith.data import _parquet as reader
    else:
        from tunesmith.data import _xlsx as reader  # type: ignore[no-redef]
    parsed = reader.read(source.content, form, bad)
    return parsed, told + parsed.notes


def _read_text(source: _source.Source, form: Format, bad: BadRows, progress: Progress) -> tuple[Parsed, list[str]]:
    text, encoding = _encoding.decode(source.content, form.encoding, source.name)
    kind = _sniff.text_kind(text, source)
    with progress.long(f"reading {source.name}", sum(text.ends.values()), "lines") as bar:
        bad.tick = bar.advance
        if kind == "jsonl":
            parsed = _json.read_lines(text, form, bad)
        elif kind == "json":
            parsed = _document.read(text, form, bad)
        elif kind == "conll":
            parsed = _conll.read(text, form, bad)
        else:
            parsed = _text.read(text, source.suffix, form, bad)
    return parsed, [encoding, *_told(kind, source), *_line_ends(text.ends), *parsed.notes]


def _told(kind: _sniff.Kind, source: _source.Source) -> list[str]:
    promised = _sniff.BY_SUFFIX.get(source.suffix)
    return (
        [] if promised == kind else [f"read as {kind}, which the content is, not as the suffix '{source.suffix}' says"]
    )


def _line_ends(found: dict[str, int]) -> list[str]:
    ends = [f"{count} {name}" for name, count in found.items() if count]
    return [f"mixed line ends: {', '.join(ends)}"] if len(ends) > 1 else []


def _first(bad: BadRows) -> str:
    first = bad.found[0]
    return f"line {first.line}: {first.reason}: '{first.excerpt}'"

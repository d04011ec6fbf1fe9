"""Durable files: every write of the product goes through here.

A file appears whole or not at all: temporary file, flush, fsync, rename, fsync of the folder
(CPython may truncate an unclosed file without an exception when a disk is full). Digests are sha256.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunesmith.errors import TunesmithError

MANIFEST = "manifest.json"
_CHUNK = 1 << 20


def digest_bytes(data: bytes | memoryview) -> str:
    """sha256 of bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def digest_json(value: Any) -> str:
    """sha256 of a JSON value in canonical form (sorted keys, no spaces)."""
    return digest_bytes(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


def digest_file(path: Path) -> str:
    """sha256 of a file's content, in hex, read in pieces of 1 MiB."""
    total = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            total.update(piece)
    return total.hexdigest()


def digest_folder(folder: Path) -> str:
    """sha256 over the names and digests of all files below a folder."""
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    return digest_json({f.relative_to(folder).as_posix(): digest_file(f) for f in files})


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable. Windows cannot open a folder, and needs no such step."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed over `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise TunesmithError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file durably."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.write(data)


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file durably, newlines as given."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON durably; NaN and infinity are refused because JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file of ours; a broken one is named."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TunesmithError(f"cannot read {path}: {error}") from error


def append_line(path: Path, value: Any) -> None:
    """Append one JSON line. Not synced: a journal may lose its tail, and resuming rewrites it."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")


def write_folder(path: Path, fill: Callable[[Path], None]) -> str:
    """Let `fill` write files into a hidden folder, add a manifest of digests, then rename it to `path`.

    Returns the sha256 of the manifest. A folder of that name is replaced. What a reader finds under
    `path` is therefore complete, and `verify_folder` can tell whether it still is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
    try:
        fill(temporary)
        digest = write_manifest(temporary)
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise TunesmithError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return digest


def write_manifest(folder: Path) -> str:
    """Sync every file below a folder and write `manifest.json` {relative path: sha256}; returns its sha256."""
    entries = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name != MANIFEST:
            with file.open("rb+") as stream:
                os.fsync(stream.fileno())
            entries[file.relative_to(folder).as_posix()] = digest_file(file)
    write_json(folder / MANIFEST, entries)
    return digest_file(folder / MANIFEST)


def verify_folder(folder: Path) -> list[str]:
    """What is wrong with a folder written by `write_folder`: missing, changed or added files. Empty = good."""
    try:
        entries = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        items = dict(entries).items()
    except (OSError, ValueError, TypeError):
        return [f"{MANIFEST} is missing or not readable"]
    wrong = [
        f"{name} is missing" if not (folder / name).is_file() else f"{name} has changed"
        for name, digest in items
        if not (folder / name).is_file() or digest_file(folder / name) != digest
    ]
    found = {f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()}
    return wrong + [f"{name} does not belong here" for name in sorted(found - set(entries) - {MANIFEST})]


def free_bytes(folder: Path) -> int:
    """Free space in bytes on the disk that holds a folder (or its nearest existing parent)."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free

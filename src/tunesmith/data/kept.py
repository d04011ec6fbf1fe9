"""Results of long work on data, kept by what they depend on: the second time they are read instead of computed.

    digest of (content of the files, settings, code, libraries) -> folder with the result

A folder is written beside its final name and renamed when complete, and its own digests are checked before it is read,
so that a killed or damaged one is computed again. All of them together stay within ROOM; the least recently used go.
"""

import os
import platform
import shutil
import time
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import distributions, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tunesmith.errors import TunesmithError
from tunesmith.files import digest_file, digest_json, verify_folder, write_folder, write_json

ROOM = 2 << 30
"""Bytes on disk for all results together."""
SECONDS = 2.0
"""Work that took less is not kept: it is as soon done anew."""
_GROUPS = ("tunesmith.checks", "tunesmith.steps", "tunesmith.tasks")
_ABOUT = "about.json"
_DAY = 24 * 3600.0


def root() -> Path:
    """The folder of all results: $TUNESMITH_CACHE/data, or tunesmith/data in the user's cache folder."""
    if own := os.environ.get("TUNESMITH_CACHE"):
        return Path(own) / "data"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tunesmith" / "data"


@cache
def code() -> str:
    """Digest of every file of this package, of parts of other packages, and of what versions of libraries there are: an
    updated program finds nothing of the old one."""
    own = Path(__file__).parent.parent
    files = sorted(f for f in own.rglob("*") if f.is_file() and "__pycache__" not in f.parts)
    found: dict[str, Any] = {f.relative_to(own).as_posix(): digest_file(f) for f in files}
    for part in (each for group in _GROUPS for each in entry_points(group=group)):
        spec = find_spec(part.value.split(":")[0])
        found[f"{part.group}.{part.name}"] = digest_file(Path(spec.origin)) if spec and spec.origin else part.value
    versions = sorted({f"{each.name} {each.version}" for each in distributions()})
    return digest_json([found, versions, platform.python_version(), unicodedata.unidata_version])


def digests(paths: Iterable[str | Path]) -> list[tuple[str, str]] | None:
    """(name as given, sha256) of regular files; None where there is another thing among them (a folder, a pipe)."""
    named = [(str(path), Path(path)) for path in paths]
    try:
        return [(name, digest_file(path)) for name, path in named] if all(p.is_file() for _, p in named) else None
    except OSError:
        return None  # whoever reads it will say why it cannot be read


def name(kind: str, **about: Any) -> str:
    """What a result is kept under: a digest of all it depends on, as JSON values, and of the code."""
    return f"{kind}-{digest_json(about | {'code': code()})[:32]}"


def look(key: str) -> Path | None:
    """The folder of a result; None where there is none, or it is damaged."""
    folder = root() / key
    if not (folder / _ABOUT).is_file() or verify_folder(folder):
        return None
    os.utime(folder / _ABOUT)  # the least recently used goes first when room is needed
    return folder


def keep(key: str, fill: Callable[[Path], None]) -> str:
    """Keep what `fill` writes into a folder. Returns why it could not be kept; "" where it was."""

    def write(folder: Path) -> None:
        fill(folder)
        write_json(folder / _ABOUT, {"key": key})

    try:
        write_folder(root() / key, write)
        _make_room(root() / key)
    except (OSError, TunesmithError) as error:
        return f"the result was not kept for the next time: {error}"
    if not (root() / key).is_dir():
        return f"the result was not kept for the next time: it is larger than {ROOM / 1e9:.1f} GB"
    return ""


def size(folder: Path) -> int:
    """Bytes on disk."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def held() -> list[Path]:
    """The folders of all results, the least recently used first."""
    found = [f for f in root().iterdir() if (f / _ABOUT).is_file()] if root().is_dir() else []
    return sorted(found, key=lambda f: (f / _ABOUT).stat().st_mtime)


def _make_room(new: Path) -> None:
    for left in root().glob(".*.tmp"):  # of kills; a young one may still be written
        if time.time() - left.stat().st_mtime > _DAY:
            shutil.rmtree(left, ignore_errors=True)
    sizes = {folder: size(folder) for folder in held()}
    for folder in [new] if sizes[new] > ROOM else [f for f in sizes if f != new]:
        if sum(sizes.values()) > ROOM:
            shutil.rmtree(folder, ignore_errors=True)
            del sizes[folder]


def clean() -> int:
    """Delete every result; returns the bytes freed."""
    freed = size(root()) if root().is_dir() else 0
    shutil.rmtree(root(), ignore_errors=True)
    return freed

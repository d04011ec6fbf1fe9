"""Content addressed by its sha256: `sha256/ab/<digest>`, and folders made from it that are checked file by file."""

import errno
import hashlib
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from tunesmith.errors import TunesmithError
from tunesmith.files import digest_bytes, replacing, sync_folder, write_bytes
from tunesmith.registry.names import check_digest

_CHUNK = 1 << 20
_BLOB = re.compile(r"[0-9a-f]{64}")
_STALE_SECONDS = 86_400.0
"""A temporary file or folder untouched for a day has no writer any more."""


@dataclass(frozen=True)
class Entry:
    """A file of a version: digest and size in bytes."""

    sha256: str
    size: int


def make_private(folder: Path) -> None:
    """Make a folder that only its owner may enter; one that others may write to is refused."""
    try:
        for level in (*reversed(folder.parents), folder):
            if not level.is_dir():
                level.mkdir(mode=0o700, exist_ok=True)
                sync_folder(level.parent)
        found = folder.stat()
    except OSError as error:
        raise TunesmithError(f"cannot make the folder {folder}: {error.strerror or error}") from error
    if os.name != "nt" and (found.st_mode & 0o022 or os.geteuid() not in {0, found.st_uid}):
        raise TunesmithError(f"{folder} can be written by others, who could swap a model: `chmod 700` it")


def opened(path: Path) -> BufferedReader:
    """A regular file open for reading; a link, folder, pipe or device raises OSError, also when swapped in late."""
    flags = os.O_RDONLY
    for extra in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"):
        flags |= getattr(os, extra, 0)
    handle = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file")
    return os.fdopen(handle, "rb")


def entry_of(path: Path) -> Entry:
    """Digest and size of what one open file holds (never of what a path points to a moment later)."""
    with opened(path) as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return Entry(digest, stream.tell())


def fault(path: Path, entry: Entry) -> str | None:
    """What is wrong with a file that should hold `entry`; None = nothing."""
    try:
        found = entry_of(path)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return None if found == entry else "has changed"


def copy(source: Path, entry: Entry, target: Path, complaint: str) -> None:
    """Copy a file and check the bytes on their way; the target appears whole and right, or `complaint` is raised."""
    try:
        stream = opened(source)
    except OSError as error:
        raise TunesmithError(complaint) from error
    with stream, replacing(target) as temporary:
        total = hashlib.sha256()
        with temporary.open("wb") as out:
            while piece := stream.read(_CHUNK):
                total.update(piece)
                out.write(piece)
        if total.hexdigest() != entry.sha256:
            raise TunesmithError(complaint)


def walk(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and change time of every file below a folder, by relative path with `/`; links and devices are refused."""
    found: dict[str, tuple[int, int]] = {}
    waiting = [folder]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            state = path.lstat()
            if stat.S_ISDIR(state.st_mode):
                waiting.append(path)
            elif stat.S_ISREG(state.st_mode):
                found[path.relative_to(folder).as_posix()] = (state.st_size, state.st_mtime_ns)
            else:
                kind = "a link" if stat.S_ISLNK(state.st_mode) else "no regular file"
                raise TunesmithError(f"{path} is {kind}: a version holds files only; put the file itself there")
    return dict(sorted(found.items()))


def faults(folder: Path, files: Mapping[str, Entry]) -> list[str]:
    """What is wrong with a folder that should hold exactly these files. Empty = nothing."""
    try:
        extra = sorted(walk(folder).keys() - files.keys())
    except (OSError, TunesmithError) as error:
        return [str(error)]
    wrong = [f"{name} {why}" for name, entry in files.items() if (why := fault(folder / name, entry))]
    return wrong + [f"{name} does not belong here" for name in extra]


def lock_folder(folder: Path) -> None:
    """Make a folder and all in it read-only for its owner and closed to everybody else."""
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            (Path(path) / name).chmod(0o400)
        Path(path).chmod(0o500)


def remove_folder(folder: Path) -> None:
    """Delete a folder that may be read-only."""
    for path, _, _ in os.walk(folder):
        Path(path).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def is_stale(path: Path, seconds: float = _STALE_SECONDS) -> bool:
    """Whether a file or folder exists and was last touched longer ago than that."""
    try:
        return time.time() - path.lstat().st_mtime >= seconds
    except FileNotFoundError:
        return False


@dataclass(frozen=True)
class Blobs:
    """The folder of blobs."""

    folder: Path

    def path(self, digest: str) -> Path:
        """Where the content of a digest lies."""
        return self.folder / check_digest(digest)[:2] / digest

    def put(self, source: Path) -> Entry:
        """Store a file; content that is already there, and still right, is kept."""
        entry = entry_of(source)
        if not self._has(entry):
            changed = f"{source} changed while it was being registered: register again when nothing writes to it"
            copy(source, entry, self.path(entry.sha256), changed)
        return entry

    def put_bytes(self, data: bytes) -> Entry:
        """Store bytes."""
        entry = Entry(digest_bytes(data), len(data))
        if not self._has(entry):
            write_bytes(self.path(entry.sha256), data)
        return entry

    def _has(self, entry: Entry) -> bool:
        path = self.path(entry.sha256)
        make_private(path.parent)
        if fault(path, entry):
            return False
        with suppress(FileNotFoundError):  # collected just now: `Store.register` will see that
            os.utime(path)  # in use again: `collect` leaves young blobs alone
        return True

    def old(self, seconds: float) -> Iterator[str]:
        """Digests of blobs that were last put longer ago than that."""
        for path in self.folder.glob("??/*"):
            if _BLOB.fullmatch(path.name) and is_stale(path, seconds):
                yield path.name

    def remove(self, digest: str) -> int:
        """Delete a blob; returns its size, 0 when somebody was quicker."""
        path = self.path(digest)
        size = path.lstat().st_size if path.exists() else 0
        path.unlink(missing_ok=True)
        return size

    def sweep(self) -> None:
        """Remove what killed writers left half written."""
        for path in self.folder.glob("??/.*.tmp"):
            if is_stale(path):
                path.unlink(missing_ok=True)

"""The store of versions: content by digest in files, names and numbers in SQLite, and nothing that can change.

    <root>/store.db                   names, numbers, aliases (SQLite, write-ahead log)
    <root>/blobs/sha256/ab/<digest>   content; a version's own record is a blob too
    <root>/folders/<digest>           versions laid out to be read; a cache that is checked at every opening

A version's digest is the sha256 of its record, `{"files": {path: {"sha256", "size"}}, "format": 1, "lineage",
"metrics"}` in canonical JSON (sorted keys, no spaces, UTF-8). The same content under the same name is the same version.

Order of a registration: blobs, record, then one transaction with the row. Killed before the commit, it leaves blobs
that nobody refers to. `collect` deletes those only while it holds the write lock, and a registration looks that its
blobs are there while it holds the same lock: no version ever lacks a blob, and no clock decides that.
"""

import os
import sqlite3
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, replace
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

from tunesmith.errors import TunesmithError
from tunesmith.registry import schema
from tunesmith.registry.blobs import (
    Blobs,
    Entry,
    copy,
    fault,
    faults,
    is_stale,
    lock_folder,
    make_private,
    opened,
    remove_folder,
    walk,
)
from tunesmith.registry.names import LATEST, check_alias, check_name, check_paths, parse, unknown_name
from tunesmith.registry.version import (
    COLUMNS,
    Change,
    Collected,
    Version,
    canonical,
    damaged,
    files_of,
    now,
    plain,
    record,
)

_ATTEMPTS = 5
_BATCH = 256
_GRACE_SECONDS = 3600.0
_LIVE = f"SELECT {COLUMNS} FROM versions WHERE deleted IS NULL"  # noqa: S608 - our own words only
_INSERT = f"INSERT INTO versions ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608
_NEEDED = "SELECT 1 FROM contents JOIN versions USING (digest) WHERE contents.sha256 = ? AND deleted IS NULL LIMIT 1"
Versions = list[Version]
Faults = list[str]


def default_root() -> Path:
    """TUNESMITH_REGISTRY, else tunesmith/registry in the user's data folder (XDG_DATA_HOME, ~/.local/share)."""
    if chosen := os.environ.get("TUNESMITH_REGISTRY"):
        return Path(chosen)
    data = os.environ.get("XDG_DATA_HOME", "")
    return (Path(data) if Path(data).is_absolute() else Path("~/.local/share")) / "tunesmith" / "registry"


@dataclass(frozen=True)
class Store:
    """A registry folder. Safe to share between threads, forks and processes; holds nothing open."""

    root: Path = field(default_factory=default_root)

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root).expanduser().resolve())
        for folder in (self.root, self.root / "blobs", self._blobs.folder, self._folders):
            make_private(folder)
        schema.prepare(self._db)

    @property
    def _db(self) -> Path:
        return self.root / "store.db"

    @property
    def _folders(self) -> Path:
        return self.root / "folders"

    @property
    def _blobs(self) -> Blobs:
        return Blobs(self.root / "blobs" / "sha256")

    def register(self, folder: Path, name: str, *, lineage: dict[str, Any], metrics: dict[str, Any]) -> Version:
        """Store a folder as the next version of a name; what that name already holds keeps its number."""
        check_name(name)
        lineage, metrics = plain(lineage, "lineage"), plain(metrics, "metrics")
        for _ in range(_ATTEMPTS):
            files = self._keep(Path(folder).resolve())
            own = self._blobs.put_bytes(record(files, lineage, metrics))
            version = Version(name, 0, own.sha256, now(), canonical(lineage), canonical(metrics))
            if accepted := self._accept(version, [own, *files.values()]):
                return accepted
        raise TunesmithError(f"'{name}' was not registered: something deletes blobs in {self.root}")

    def _keep(self, folder: Path) -> dict[str, Entry]:
        """Put every file into the blobs; the folder must hold still meanwhile."""
        if not folder.is_dir():
            raise TunesmithError(f"cannot register {folder}: it is not a folder")
        try:
            before = walk(folder)
            if not before:
                raise TunesmithError(f"cannot register {folder}: there is no file in it")
            check_paths(before)
            files = {path: self._blobs.put(folder / path) for path in before}
            if walk(folder) != before:
                raise TunesmithError(f"{folder} changed while it was being registered: wait until nothing writes to it")
        except OSError as error:
            raise TunesmithError(f"cannot register {folder}: {error}") from error
        return files

    def _accept(self, version: Version, entries: list[Entry]) -> Version | None:
        """Give the version its number and write its row; None when `collect` took one of its blobs before."""
        with schema.writing(self._db) as link:
            if not all(self._blobs.path(entry.sha256).is_file() for entry in entries):
                return None
            if row := link.execute(f"{_LIVE} AND name = ? AND digest = ?", (version.name, version.digest)).fetchone():
                return Version(*row)
            last = link.execute("SELECT max(number) FROM versions WHERE name = ?", (version.name,)).fetchone()[0]
            version = replace(version, number=(last or 0) + 1)
            link.execute(_INSERT, astuple(version))
            needs = [(version.digest, entry.sha256, entry.size) for entry in entries]
            link.executemany("INSERT OR IGNORE INTO contents VALUES (?, ?, ?)", needs)
        return version

    def resolve(self, reference: str) -> Version:
        """The version that `name@3`, `name@latest`, `name@alias` or `name@sha256:…` stands for now."""
        asked = parse(reference)
        with schema.reading(self._db) as link:
            link.execute("BEGIN")  # one snapshot for all the look-ups
            query = f"{_LIVE} AND name = ?"
            if asked.digest:
                row = link.execute(f"{query} AND digest = ?", (asked.name, asked.digest)).fetchone()
            elif asked.alias == LATEST:
                row = link.execute(f"{query} ORDER BY number DESC LIMIT 1", (asked.name,)).fetchone()
            else:
                number = asked.number or _aliases(link, asked.name).get(str(asked.alias))
                row = link.execute(f"{query} AND number = ?", (asked.name, number)).fetchone()
            if row is None:
                raise _unknown(link, asked.name, reference)
        return Version(*row)

    def manifest(self, version: Version) -> dict[str, Entry]:
        """The files of a version by path, from its record, whose digest is checked."""
        path = self._blobs.path(version.digest)
        try:
            with opened(path) as stream:
                return files_of(version, stream.read())
        except OSError as error:
            raise TunesmithError(damaged(version, f"its record cannot be read ({error.strerror})")) from error

    def verify(self, version: Version) -> Faults:
        """What is wrong with the stored content of a version, a line a file. Empty = nothing."""
        try:
            files = self.manifest(version)
        except TunesmithError as error:
            return [str(error)]
        found = ((path, fault(self._blobs.path(entry.sha256), entry)) for path, entry in files.items())
        return [f"{path} {why}" for path, why in found if why]

    def open(self, version: Version) -> Path:
        """A read-only folder with the files of a version, every digest checked now; made, or made anew, when needed."""
        if self.resolve(str(version)) != version:
            raise TunesmithError(f"{version} has another digest than the one asked for: resolve it again")
        files, target = self.manifest(version), self._folders / version.digest
        for _ in range(_ATTEMPTS):
            if target.exists() and not faults(target, files):
                return target
            self._move_away(target, files)
            self._lay_out(version, files, target)
        raise TunesmithError(damaged(version, *faults(target, files)))

    def _move_away(self, target: Path, files: Mapping[str, Entry]) -> None:
        """Take a damaged folder out of sight; under the write lock, so that nobody takes away one made anew."""
        aside = self._folders / f".{os.urandom(8).hex()}.tmp"
        with schema.writing(self._db):
            if target.exists() and faults(target, files):
                target.rename(aside)
        remove_folder(aside)

    def _lay_out(self, version: Version, files: Mapping[str, Entry], target: Path) -> None:
        """Copy the blobs into a hidden folder, checking every byte, and rename it to `target` unless that is there."""
        temporary = self._folders / f".{os.urandom(8).hex()}.tmp"
        try:
            for path, entry in files.items():
                make_private((temporary / path).parent)
                complaint = damaged(version, f"{path} has changed or is gone")
                copy(self._blobs.path(entry.sha256), entry, temporary / path, complaint)
            lock_folder(temporary)
            temporary.rename(target)
        except OSError as error:
            if not target.exists():
                raise TunesmithError(f"cannot lay out {version} in {target}: {error}") from error
        finally:
            remove_folder(temporary)

    def alias(self, name: str, alias: str, number: int) -> Version:
        """Point an alias at a version; readers see the old or the new one, and the change is kept for good."""
        check_alias(alias)
        version = self.resolve(f"{name}@{number}")
        with schema.writing(self._db) as link:
            if not link.execute(f"{_LIVE} AND name = ? AND number = ?", (name, number)).fetchone():
                raise _unknown(link, name, str(version))
            if _aliases(link, name).get(alias) != number:
                row = (name, alias, number, now())
                link.execute("INSERT INTO aliases (name, alias, number, changed) VALUES (?, ?, ?, ?)", row)
        return version

    def aliases(self, name: str) -> dict[str, int]:
        """Where the aliases of a name point now."""
        check_name(name)
        with schema.reading(self._db) as link:
            return _aliases(link, name)

    def history(self, name: str) -> tuple[Change, ...]:
        """Every change of the aliases of a name, oldest first."""
        check_name(name)
        with schema.reading(self._db) as link:
            rows = link.execute("SELECT alias, number, changed FROM aliases WHERE name = ? ORDER BY change", (name,))
            return tuple(Change(*row) for row in rows)

    def collect(self, grace: float = _GRACE_SECONDS) -> Collected:
        """Delete blobs that no version needs and nobody put for `grace` seconds, and what killed writers left."""
        gone: list[int] = []
        old = self._blobs.old(grace)
        while batch := list(islice(old, _BATCH)):
            with schema.writing(self._db) as link:  # no version can be accepted meanwhile; other writers wait a batch
                for digest in batch:
                    if not link.execute(_NEEDED, (digest,)).fetchone():
                        gone.append(self._blobs.remove(digest))
        self._blobs.sweep()
        for path in self._folders.glob(".*.tmp"):
            if is_stale(path):
                remove_folder(path)
        return Collected(len(gone), sum(gone))

    def list(self, name: str | None = None) -> Versions:
        """All versions, by name and number, or those of one name."""
        where, values = ("", ()) if name is None else ("AND name = ?", (check_name(name),))
        with schema.reading(self._db) as link:
            rows = link.execute(f"{_LIVE} {where} ORDER BY name, number", values).fetchall()
            if name is not None and not rows:
                raise _unknown(link, name, name)
        return [Version(*row) for row in rows]


def _aliases(link: sqlite3.Connection, name: str) -> dict[str, int]:
    """The newest row of each alias, without those taken away."""
    rows = link.execute("SELECT alias, number FROM aliases WHERE name = ? ORDER BY change", (name,))
    return {alias: number for alias, number in dict(rows.fetchall()).items() if number is not None}


def _unknown(link: sqlite3.Connection, name: str, reference: str) -> TunesmithError:
    """The error for a reference that nothing answers to, with what is known."""
    last = link.execute("SELECT max(number) FROM versions WHERE deleted IS NULL AND name = ?", (name,)).fetchone()[0]
    if last is None:
        rows = link.execute("SELECT DISTINCT name FROM versions WHERE deleted IS NULL ORDER BY name")
        return unknown_name(name, [row[0] for row in rows])
    words = sorted(_aliases(link, name))
    near = get_close_matches(reference.partition("@")[2], words, n=1, cutoff=0.5)
    hint = f" Did you mean '{name}@{near[0]}'?" if near else ""
    known = ", ".join([f"1 to {last}", LATEST, *words])
    return TunesmithError(f"no version {reference}.{hint} Known of '{name}': {known}")

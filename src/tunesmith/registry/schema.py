"""The registry's SQLite file: its tables as named migrations, and how it is opened, read and written."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from tunesmith.errors import TunesmithError

_BUSY_SECONDS = 60.0

# A migration is never edited once released: a change is a new entry at the end.
MIGRATIONS: dict[str, tuple[str, ...]] = {
    "0001_versions": (
        # A deleted version keeps its row, so that its number is never given again.
        """CREATE TABLE versions (
            name TEXT NOT NULL, number INTEGER NOT NULL CHECK (number > 0),
            digest TEXT NOT NULL CHECK (length(digest) = 64), created TEXT NOT NULL, deleted TEXT,
            lineage TEXT NOT NULL, metrics TEXT NOT NULL,
            PRIMARY KEY (name, number)) WITHOUT ROWID""",
        "CREATE UNIQUE INDEX versions_once ON versions (name, digest) WHERE deleted IS NULL",
        "CREATE INDEX versions_by_digest ON versions (digest)",
        # Which blobs a version digest needs, its own record included: what may not be collected.
        """CREATE TABLE contents (
            digest TEXT NOT NULL, sha256 TEXT NOT NULL CHECK (length(sha256) = 64), size INTEGER NOT NULL,
            PRIMARY KEY (digest, sha256)) WITHOUT ROWID""",
        "CREATE INDEX contents_by_blob ON contents (sha256)",
        """CREATE TRIGGER versions_are_final BEFORE UPDATE OF name, number, digest, created, lineage, metrics
            ON versions BEGIN SELECT RAISE(ABORT, 'a version is never changed'); END""",
        """CREATE TRIGGER versions_stay BEFORE DELETE ON versions
            BEGIN SELECT RAISE(ABORT, 'a version is marked as deleted, its row stays'); END""",
    ),
    "0002_aliases": (
        # A journal: the newest row of (name, alias) is where it points, number NULL = taken away, evidence = of gates.
        """CREATE TABLE aliases (
            change INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, alias TEXT NOT NULL, number INTEGER,
            changed TEXT NOT NULL, evidence TEXT NOT NULL DEFAULT '{}',
            FOREIGN KEY (name, number) REFERENCES versions (name, number))""",
        "CREATE INDEX aliases_by_name ON aliases (name, alias, change)",
    ),
}


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for one piece of work. None is kept, so a Store can be shared by threads and forks."""
    try:
        address = f"{path.as_uri()}?mode=rw"  # never makes a new file in place of a lost one
        with closing(sqlite3.connect(address, _BUSY_SECONDS, isolation_level=None, uri=True)) as link:
            link.execute("PRAGMA synchronous=FULL")
            link.execute("PRAGMA foreign_keys=ON")
            yield link
    except sqlite3.DatabaseError as error:
        if type(error) not in {sqlite3.OperationalError, sqlite3.DatabaseError}:
            raise  # a broken constraint or a wrong call is our bug
        raise TunesmithError(f"registry {path}: {error}. Is the disk full or the file damaged?") from error


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """A transaction that holds the only write lock from its start, and is taken back on any exception."""
    with reading(path) as link:
        link.execute("BEGIN IMMEDIATE")
        try:
            yield link
            link.execute("COMMIT")
        finally:
            if link.in_transaction:
                link.execute("ROLLBACK")


def prepare(path: Path) -> None:
    """Make the file or bring it up to date; of many starters one does the work and the others find it done."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its -wal and -shm the same mode
    with reading(path) as link:
        _use_wal(link, path)
        missing = set(MIGRATIONS) - _applied(link, path)
    if not missing:
        return
    with writing(path) as link:
        link.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied TEXT NOT NULL)")
        done = _applied(link, path)
        for name in (n for n in MIGRATIONS if n not in done):
            for statement in MIGRATIONS[name]:
                link.execute(statement)
            link.execute("INSERT INTO migrations VALUES (?, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))", (name,))


def _applied(link: sqlite3.Connection, path: Path) -> set[str]:
    if not link.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'migrations'").fetchone():
        return set()
    done = {str(row[0]) for row in link.execute("SELECT name FROM migrations")}
    if strange := done - set(MIGRATIONS):
        raise TunesmithError(f"registry {path}: made by a newer Tunesmith ({min(strange)}); update this one")
    return done


def _use_wal(link: sqlite3.Connection, path: Path) -> None:
    """Write-ahead log: readers and a writer do not wait for each other. SQLite does not wait while it switches."""
    mode, end = "", time.monotonic() + _BUSY_SECONDS
    while mode != "wal" and time.monotonic() < end:
        with suppress(sqlite3.OperationalError):
            mode = link.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode not in {"wal", ""}:
            break
        if not mode:
            time.sleep(0.02)
    if mode != "wal":
        raise TunesmithError(
            f"registry {path}: this disk cannot share a database between processes (a network folder?); "
            "set TUNESMITH_REGISTRY to a folder on a local disk"
        )

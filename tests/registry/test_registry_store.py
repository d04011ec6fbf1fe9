"""The store keeps, numbers, finds and hands back versions, and what it hands out is private and read-only."""

import json
import os
import shutil
import sqlite3
import stat
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tunesmith.errors import TunesmithError
from tunesmith.files import digest_json
from tunesmith.registry import schema
from tunesmith.registry.store import Store, default_root

LINEAGE = {"base": "b" * 64, "data": ["d" * 64], "plan": "p" * 64, "parent": None}
METRICS = {"test": {"macro_f1": {"value": 0.91, "low": 0.88, "high": 0.94}}}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def add(store: Store, folder: Path, name: str = "tickets", **more: object) -> str:
    """Register the folder; `more` makes another version of it. Returns the reference."""
    return str(store.register(folder, name, lineage=LINEAGE, metrics={**METRICS, **more}))


def test_round_trip(store: Store, folder: Path) -> None:
    """What comes back by number, digest and latest is what went in."""
    version = store.register(folder, "tickets", lineage=LINEAGE, metrics=METRICS)
    assert (str(version), version.lineage, version.metrics) == ("tickets@1", LINEAGE, METRICS)
    for reference in ("tickets@1", "tickets@latest", f"tickets@sha256:{version.digest}"):
        found = store.resolve(reference)
        assert (found, found.lineage, found.metrics) == (version, LINEAGE, METRICS)
    opened = store.open(version)
    assert contents(opened) == contents(folder)
    assert store.open(version) == opened and store.verify(version) == []
    assert store.list() == store.list("tickets") == [version]


def test_the_digest_is_that_of_the_record(store: Store, folder: Path) -> None:
    """Other tools can check a version: `sha256sum` of the record, and of each file that it names."""
    version = store.register(folder, "tickets", lineage=LINEAGE, metrics=METRICS)
    record = store.root / "blobs" / "sha256" / version.digest[:2] / version.digest
    told = json.loads(record.read_bytes())
    assert sha256(record.read_bytes()).hexdigest() == version.digest == digest_json(told)
    assert told["files"] == {
        path: {"sha256": sha256(data).hexdigest(), "size": len(data)} for path, data in contents(folder).items()
    }
    assert (told["format"], told["lineage"], told["metrics"]) == (1, LINEAGE, METRICS)


def test_same_content_is_the_same_version(store: Store, folder: Path) -> None:
    """Twice under one name: one number. Other metrics, lineage, bytes or name: another."""
    first = store.register(folder, "tickets", lineage=LINEAGE, metrics=METRICS)
    assert store.register(folder, "tickets", lineage=LINEAGE, metrics=METRICS) == first
    os.utime(folder / "adapter.safetensors", (1, 1))
    assert store.register(folder, "tickets", lineage=dict(reversed(LINEAGE.items())), metrics=METRICS) == first
    assert add(store, folder, extra=1) == "tickets@2"
    other = store.register(folder, "faults", lineage=LINEAGE, metrics=METRICS)
    assert str(other) == "faults@1" and other.digest == first.digest
    assert store.open(other) == store.open(first)
    (folder / "adapter.safetensors").write_bytes(b"else")
    assert add(store, folder) == "tickets@3"
    assert [str(v) for v in store.list()] == ["faults@1", "tickets@1", "tickets@2", "tickets@3"]


def test_lineage_is_kept_as_json_gives_it_back(store: Store, folder: Path) -> None:
    """Tuples become lists, and keys text; what JSON cannot hold is refused."""
    odd: dict[Any, Any] = {"data": ("a", "b"), 10: 1, 9: 2}
    version = store.register(folder, "tickets", lineage=odd, metrics={"x": 1e-300})
    assert version.lineage == {"data": ["a", "b"], "10": 1, "9": 2}
    assert store.verify(store.resolve("tickets@1")) == []
    for bad in ({"x": float("nan")}, {"x": {1, 2}}, {"x": "\ud800"}):
        with pytest.raises(TunesmithError, match="metrics of a version must be JSON"):
            store.register(folder, "tickets", lineage={}, metrics=bad)


def test_aliases_move_and_remember(store: Store, folder: Path) -> None:
    """An alias resolves, moves back and forth, and every change is kept."""
    for i in range(3):
        add(store, folder, i=i)
    for number in (2, 3, 3, 2):
        assert store.alias("tickets", "production", number) == store.resolve("tickets@production")
    store.alias("tickets", "staging", 1)
    assert store.aliases("tickets") == {"production": 2, "staging": 1}
    changes = [(c.alias, c.number) for c in store.history("tickets")]
    assert changes == [("production", 2), ("production", 3), ("production", 2), ("staging", 1)]
    with pytest.raises(TunesmithError, match=r"no version tickets@9\. Known of 'tickets': 1 to 3, latest, production"):
        store.alias("tickets", "production", 9)
    with pytest.raises(TunesmithError, match=r"Did you mean 'tickets@production'"):
        store.resolve("tickets@prodution")


def test_unknown_names_say_what_is_known(store: Store, folder: Path) -> None:
    """Empty store, near name, far name, many names."""
    with pytest.raises(TunesmithError, match="the registry is empty"):
        store.resolve("tickets@1")
    add(store, folder)
    with pytest.raises(TunesmithError, match=r"no model named 'tikets'\. Did you mean 'tickets'"):
        store.resolve("tikets@1")
    with pytest.raises(TunesmithError, match="no model named 'tikets'"):
        store.list("tikets")
    for i in range(20):
        add(store, folder, f"model-{i}")
    with pytest.raises(TunesmithError, match=r"among 21\. Did you mean 'tickets'"):
        store.resolve("tikets@1")
    with pytest.raises(TunesmithError, match="no version tickets@sha256:0000"):
        store.resolve("tickets@sha256:" + "0" * 64)


def test_all_is_private_and_versions_are_read_only(tmp_path: Path, folder: Path) -> None:
    """Folders 0700, files 0600, also with umask 0; a folder that is handed out is 0500 with files 0400."""
    before = os.umask(0)
    try:
        store = Store(tmp_path / "deep" / "registry")
        opened = store.open(store.resolve(add(store, folder)))
        with schema.writing(store.root / "store.db"):
            assert (store.root / "store.db-wal").exists()
            modes = {p: stat.S_IMODE(p.stat().st_mode) for p in [store.root.parent, store.root, *store.root.rglob("*")]}
    finally:
        os.umask(before)
    for path, mode in modes.items():
        handed_out = path == opened or opened in path.parents
        wanted = (0o500 if path.is_dir() else 0o400) if handed_out else (0o700 if path.is_dir() else 0o600)
        assert mode == wanted, (path, oct(mode))


def test_a_root_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    """Somebody else could swap a model there."""
    tmp_path.chmod(0o777)
    with pytest.raises(TunesmithError, match="chmod 700"):
        Store(tmp_path)


def test_where_the_store_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Argument, TUNESMITH_REGISTRY, XDG_DATA_HOME (absolute only), ~/.local/share."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TUNESMITH_REGISTRY", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert Store().root == tmp_path / "home" / ".local" / "share" / "tunesmith" / "registry"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert default_root() == tmp_path / "xdg" / "tunesmith" / "registry"
    monkeypatch.setenv("TUNESMITH_REGISTRY", str(tmp_path / "chosen"))
    assert Store().root == tmp_path / "chosen"
    assert Store(tmp_path / "a ?b#c%41 泵").list() == []
    (tmp_path / "file").write_text("")
    with pytest.raises(TunesmithError, match="cannot make the folder"):
        Store(tmp_path / "file")


def test_a_copied_store_is_still_valid(store: Store, folder: Path, tmp_path: Path) -> None:
    """Digests decide, neither times nor places: the whole store may be copied or moved."""
    version = store.resolve(add(store, folder))
    store.open(version)
    shutil.copytree(store.root, tmp_path / "moved", copy_function=shutil.copyfile)
    (tmp_path / "moved").chmod(0o700)
    moved = Store(tmp_path / "moved")
    assert moved.resolve("tickets@1") == version and moved.verify(version) == []
    assert contents(moved.open(version)) == contents(folder)


def test_collect_takes_only_what_nobody_needs(store: Store, folder: Path) -> None:
    """Orphans older than the grace go; what a version needs, and young orphans, stay."""
    version = store.resolve(add(store, folder))
    orphan = store._blobs.put_bytes(b"nobody's")
    assert store.collect().num_blobs == 0
    left = store.root / "folders" / ".dead.tmp"
    left.mkdir()
    half = store._blobs.path(orphan.sha256).parent / ".half.tmp"
    half.write_bytes(b"half")
    for path in (left, half):
        os.utime(path, (1, 1))
    collected = store.collect(grace=0)
    assert (collected.num_blobs, collected.num_bytes) == (1, 8)
    assert not left.exists() and not half.exists()
    assert store.verify(version) == [] and contents(store.open(version)) == contents(folder)


def test_collect_between_blob_and_row_costs_nothing(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registration whose blobs are collected before its row puts them again."""
    accept, calls = Store._accept, list[int]()

    def late(self: Store, version: object, entries: object) -> object:
        if not calls:
            assert self.collect(grace=0).num_blobs > 0
        calls.append(1)
        return accept(self, version, entries)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "_accept", late)
    version = store.resolve(add(store, folder))
    assert len(calls) == 2 and store.verify(version) == []


def test_versions_never_change(store: Store, folder: Path) -> None:
    """The database itself refuses; and a store of a newer Tunesmith is refused by this one."""
    add(store, folder)
    for statement in ("UPDATE versions SET digest = ''", "DELETE FROM versions"):
        with pytest.raises(sqlite3.IntegrityError), schema.writing(store.root / "store.db") as link:
            link.execute(statement)
    with schema.writing(store.root / "store.db") as link:
        link.execute("INSERT INTO migrations VALUES ('0999_future', '')")
    with pytest.raises(TunesmithError, match=r"newer Tunesmith \(0999_future"):
        Store(store.root)


def test_a_deleted_version_keeps_its_number(store: Store, folder: Path) -> None:
    """What deleting will build on: numbers are never given twice, and a deleted version's blobs can be collected."""
    add(store, folder, i=1)
    gone = store.resolve(add(store, folder, i=2))
    with schema.writing(store.root / "store.db") as link:
        link.execute("UPDATE versions SET deleted = 'now' WHERE number = 2")
    with pytest.raises(TunesmithError, match="no version tickets@2"):
        store.open(gone)
    assert store.collect(grace=0).num_blobs == 1  # its record; the files are shared with version 1
    assert add(store, folder, i=2) == "tickets@3" and add(store, folder, i=1) == "tickets@1"


def test_ten_thousand_versions_are_listed_in_a_second(store: Store, folder: Path) -> None:
    """No look-up slows down with the number of versions."""
    add(store, folder)
    rows = [
        (f"model-{i % 100}", i // 100 + 1, f"{i:064x}", "2026-01-01", json.dumps(LINEAGE), json.dumps(METRICS))
        for i in range(10_000)
    ]
    with schema.writing(store.root / "store.db") as link:
        link.executemany("INSERT INTO versions VALUES (?, ?, ?, ?, NULL, ?, ?)", rows)
    start = time.perf_counter()
    assert len(store.list()) == 10_001
    assert time.perf_counter() - start < 1
    start = time.perf_counter()
    assert str(store.resolve("model-7@latest")) == "model-7@100" and len(store.list("model-7")) == 100
    assert add(store, folder, "model-7") == "model-7@101"
    assert time.perf_counter() - start < 0.5

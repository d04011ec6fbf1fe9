"""What is no plain folder of files that holds still is refused, and nothing of it becomes a version."""

import os
from pathlib import Path

import pytest

from tunesmith.errors import TunesmithError
from tunesmith.registry.store import Store


def add(store: Store, folder: Path) -> None:
    """Register the folder."""
    store.register(folder, "tickets", lineage={}, metrics={})


@pytest.mark.parametrize("kind", ["link", "folder link", "pipe", "dangling"])
def test_links_and_devices_are_refused(store: Store, folder: Path, tmp_path: Path, kind: str) -> None:
    """A version holds files only; nothing of them is stored."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("canary")
    odd = folder / "heads" / "odd"
    if kind == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to(tmp_path / {"link": "secret/key", "folder link": "secret", "dangling": "gone"}[kind])
    with pytest.raises(TunesmithError, match=r"heads/odd is (a link|no regular file)"):
        add(store, folder)
    assert store.list() == [] and not list(store.root.glob("blobs/sha256/*/*"))


def test_a_file_swapped_for_a_link_is_not_followed(
    store: Store, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The open file is checked, not its name a moment before."""
    (tmp_path / "secret").write_text("canary")
    put = store._blobs.put.__func__  # type: ignore[attr-defined]

    def late(self: object, source: Path) -> object:
        if source.name == "card.json":
            source.unlink()
            source.symlink_to(tmp_path / "secret")
        return put(self, source)

    monkeypatch.setattr(type(store._blobs), "put", late)
    with pytest.raises(TunesmithError, match="cannot register"):
        add(store, folder)
    assert not any(p.read_bytes() == b"canary" for p in store.root.rglob("*") if p.is_file())


def test_a_folder_that_does_not_hold_still_is_refused(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version is one moment of a folder, never a mixture of two."""
    put = store._blobs.put.__func__  # type: ignore[attr-defined]

    def late(self: object, source: Path) -> object:
        entry = put(self, source)
        (folder / "adapter.safetensors").write_bytes(b"next step")
        return entry

    monkeypatch.setattr(type(store._blobs), "put", late)
    with pytest.raises(TunesmithError, match="changed while it was being registered"):
        add(store, folder)
    assert store.list() == []


def test_what_is_no_folder_of_files_is_refused(store: Store, tmp_path: Path) -> None:
    """A missing folder, a file, an empty folder, two names that are one elsewhere."""
    (tmp_path / "empty" / "nested").mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    (tmp_path / "twins").mkdir()
    for name in ("Run", "run"):
        (tmp_path / "twins" / name).write_text("x")
    wrong = {"gone": "not a folder", "file": "not a folder", "empty": "no file", "twins": "one file"}
    for name, words in wrong.items():
        with pytest.raises(TunesmithError, match=words):
            add(store, tmp_path / name)

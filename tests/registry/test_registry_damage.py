"""A flipped bit is always noticed, never handed out, and healed where good content is at hand."""

import random
from pathlib import Path

import pytest

from tunesmith.errors import TunesmithError
from tunesmith.registry import schema
from tunesmith.registry.store import Store
from tunesmith.registry.version import Version

NUM_FLIPS = 200


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Store, Version, Path]:
    """A store with one version, and the folder it came from."""
    folder = tmp_path / "model"
    (folder / "heads").mkdir(parents=True)
    (folder / "adapter.safetensors").write_bytes(random.Random(1).randbytes(20_000))
    (folder / "heads" / "card.json").write_text('{"task": "classify"}')
    store = Store(tmp_path / "registry")
    return store, store.register(folder, "tickets", lineage={"base": "b"}, metrics={"f1": 0.5}), folder


def flip(path: Path, bit: int) -> None:
    """Flip one bit of a file, whatever its mode."""
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.chmod(0o600)
    path.write_bytes(data)


def blobs_of(store: Store) -> list[Path]:
    """Every blob."""
    return sorted(store.root.glob("blobs/sha256/*/*"))


def test_each_flipped_bit_of_a_blob_is_found(kept: tuple[Store, Version, Path]) -> None:
    """Any bit of any file or of the record: verify names it, and open refuses before a folder appears."""
    store, version, _ = kept
    chance = random.Random(2)
    for turn in range(NUM_FLIPS):
        path = chance.choice(blobs_of(store))
        bit = chance.randrange(path.stat().st_size * 8)
        flip(path, bit)
        assert len(store.verify(version)) == 1
        if turn % 5 == 0:
            with pytest.raises(TunesmithError, match="tickets@1 is damaged"):
                store.open(version)
            assert not list((store.root / "folders").iterdir())
        flip(path, bit)
    assert store.verify(version) == []


def test_each_flipped_bit_of_an_opened_folder_is_healed(kept: tuple[Store, Version, Path]) -> None:
    """What was laid out is checked at every opening and laid out anew from the blobs."""
    store, version, folder = kept
    chance = random.Random(3)
    for _ in range(20):
        target = store.open(version) / "adapter.safetensors"
        flip(target, chance.randrange(20_000 * 8))
        healed = store.open(version) / "adapter.safetensors"
        assert healed.read_bytes() == (folder / "adapter.safetensors").read_bytes()
    assert [p.name for p in (store.root / "folders").iterdir()] == [version.digest]


@pytest.mark.parametrize("harm", ["added", "removed", "linked", "emptied"])
def test_other_harm_to_an_opened_folder_is_healed(kept: tuple[Store, Version, Path], harm: str, tmp_path: Path) -> None:
    """An added or missing file, a link, an empty folder."""
    store, version, folder = kept
    opened = store.open(version)
    for path in (opened, opened / "heads"):
        path.chmod(0o700)
    if harm == "added":
        (opened / "heads" / "evil.py").write_text("x")
    else:
        (opened / "heads" / "card.json").unlink()
    if harm == "linked":
        (opened / "heads" / "card.json").symlink_to(folder / "heads" / "card.json")
    if harm == "emptied":
        (opened / "adapter.safetensors").unlink()
    opened = store.open(version)
    found = {p.relative_to(opened).as_posix(): p.is_symlink() for p in opened.rglob("*") if not p.is_dir()}
    assert found == {"adapter.safetensors": False, "heads/card.json": False}


def test_a_missing_blob_is_named_and_registering_again_heals(kept: tuple[Store, Version, Path]) -> None:
    """Good content replaces damaged content under the same digest."""
    store, version, folder = kept
    for path in blobs_of(store):
        path.unlink()
        assert store.verify(version)
        assert store.register(folder, "tickets", lineage={"base": "b"}, metrics={"f1": 0.5}) == version
        assert store.verify(version) == []
        flip(path, 5)
        assert store.verify(version)
        assert store.register(folder, "tickets", lineage={"base": "b"}, metrics={"f1": 0.5}) == version
        assert store.verify(version) == []


def test_a_blob_swapped_for_a_link_is_not_followed(kept: tuple[Store, Version, Path], tmp_path: Path) -> None:
    """Even to the very same content: the link could change a moment later."""
    store, version, _ = kept
    for number, path in enumerate(blobs_of(store)):
        path.rename(tmp_path / f"copy-{number}")
        path.symlink_to(tmp_path / f"copy-{number}")
        assert store.verify(version)
        with pytest.raises(TunesmithError, match="damaged"):
            store.open(version)
        path.unlink()
        (tmp_path / f"copy-{number}").rename(path)


def test_rewritten_rows_are_found(kept: tuple[Store, Version, Path]) -> None:
    """Prettier metrics in the database are not those of the record; a made-up version opens nothing."""
    store, version, _ = kept
    with schema.writing(store.root / "store.db") as link:
        link.execute("DROP TRIGGER versions_are_final")
        link.execute("""UPDATE versions SET metrics = '{"f1":0.99}'""")
    better = store.resolve("tickets@1")
    assert better.metrics == {"f1": 0.99}
    assert "lineage or metrics differ" in store.verify(better)[0]
    with pytest.raises(TunesmithError, match="lineage or metrics differ"):
        store.open(better)
    with pytest.raises(TunesmithError, match="another digest"):
        store.open(Version("tickets", 1, "../../../etc", version.created, "{}", "{}"))


def test_a_broken_database_is_a_clear_error(kept: tuple[Store, Version, Path]) -> None:
    """Not a traceback, and never a fresh empty store in its place."""
    store, _, _ = kept
    (store.root / "store.db").write_bytes(b"no database" * 1000)
    with pytest.raises(TunesmithError, match=r"store\.db: file is not a database"):
        store.list()
    with pytest.raises(TunesmithError, match=r"store\.db"):
        Store(store.root)
    for path in store.root.glob("store.db*"):
        path.unlink()
    with pytest.raises(TunesmithError, match="unable to open"):
        store.list()

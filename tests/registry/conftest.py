"""An empty registry, and a folder to put in it."""

from pathlib import Path

import pytest

from tunesmith.registry.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "registry")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as a run leaves it, with a nested file, an empty file and a Chinese name."""
    made = tmp_path / "run" / "model"
    (made / "heads").mkdir(parents=True)
    (made / "adapter.safetensors").write_bytes(bytes(range(256)) * 40)
    (made / "heads" / "card.json").write_text('{"task": "classify"}')
    (made / "heads" / "empty").write_bytes(b"")
    (made / "说明.txt").write_text("泵漏油")
    return made

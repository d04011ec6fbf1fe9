"""Shared by all tests: one thread, no network, tiny bases made once, and where the real data is."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: two busy thread pools on two cores crawl
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TUNESMITH_CACHE"] = tempfile.mkdtemp(prefix="tunesmith-tests-")  # never the caches of the user who tests

import pytest

from kit import SHARED, TinyBases

atexit.register(shutil.rmtree, os.environ["TUNESMITH_CACHE"], ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the contract tests draw their covering subset with."""
    seed = os.environ.get("TUNESMITH_PAIRS", "0")
    terminalreporter.write_line(f"pairs of methods, tasks and families were drawn with seed {seed} (TUNESMITH_PAIRS)")


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Every test starts from the same torch generator."""
    import sys

    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def tiny_bases(tmp_path_factory: pytest.TempPathFactory) -> TinyBases:
    """Folders of tiny bases by family, each made at first use."""
    return TinyBases(tmp_path_factory.mktemp("bases"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of public data sets; tests that need it skip where it is missing."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("the folder of public data sets (../shared/data) is not here")
    return folder

"""Runs that the tests of the report draw from."""

import shutil
from pathlib import Path

import pytest
from fake_runs import build
from report_pages import RUNS

from tunesmith.evaluation.report import write_report


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The four runs with their pages."""
    folder = tmp_path_factory.mktemp("runs")
    found = {name: build(folder / name, **how) for name, how in RUNS.items()}
    for run in found.values():
        write_report(run)
    return found


@pytest.fixture
def run(runs: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the English run that a test may spoil."""
    return Path(shutil.copytree(runs["english"], tmp_path / "run"))

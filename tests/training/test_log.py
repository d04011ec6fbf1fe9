"""`train.log`: the curves in TensorBoard or MLflow, by one word. The libraries are played by ones that remember."""

import os
import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from jobs import history, run_job, tree, write_tickets
from kit import TinyBases
from tunesmith.errors import TunesmithError
from tunesmith.flows import train
from tunesmith.training.log import logger


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, float, int]]:
    """What TensorBoard was told: (folder, name, value, step)."""
    told: list[tuple[str, str, float, int]] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            self.folder, self.purge_step = folder, purge_step
            told.append((folder, "purged from", float("nan"), purge_step))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            told.append((self.folder, name, value, step))

        def flush(self) -> None:
            pass

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    library = types.ModuleType("tensorboard")
    library.__spec__ = ModuleSpec("tensorboard", None)
    monkeypatch.setitem(sys.modules, "tensorboard", library)
    return told


class Mlflow(types.ModuleType):
    """MLflow, as far as we call it."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.told: list[tuple[str, int, dict[str, float]]] = []
        self.uri = ""
        self.started: list[str] = []

    def set_tracking_uri(self, uri: str) -> None:
        self.uri = uri

    def active_run(self) -> None:
        return None

    def start_run(self, run_id: str | None = None, run_name: str | None = None) -> Any:
        self.started.append(run_id or f"new {run_name}")
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=run_id or f"id-{len(self.started)}"))

    def log_metrics(self, values: dict[str, float], step: int, run_id: str) -> None:
        self.told.append((run_id, step, values))


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Mlflow:
    made = Mlflow()
    monkeypatch.setitem(sys.modules, "mlflow", made)
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return made


def test_tensorboard_gets_what_the_journal_has(
    board: list[tuple[str, str, float, int]], tiny_bases: TinyBases, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run_job(tree(tiny_bases["bert"], write_tickets(tmp_path / "t.csv", rows=45), run, epochs=1, log="tensorboard"))
    assert {folder for folder, *_ in board} == {str(run / "tensorboard")}
    assert [step for _, name, _, step in board if name == "purged from"] == [1], "one writer for the whole training"
    for line in history(run):
        names = ("loss", "lr", "grad_norm") if line["kind"] == "step" else ("validation_loss", "macro_f1")
        for name in names:
            assert (str(run / "tensorboard"), name, line[name], line["step"]) in board


def test_mlflow_keeps_its_store_in_the_run_says_nothing_home_and_goes_on(mlflow: Mlflow, tmp_path: Path) -> None:
    logger("mlflow", tmp_path)(3, {"loss": 0.5, "spearman": float("nan")})
    assert mlflow.uri == f"sqlite:///{tmp_path.resolve() / 'mlflow.db'}"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == os.environ["DO_NOT_TRACK"] == "true"
    assert mlflow.told == [("id-1", 3, {"loss": 0.5})], "MLflow refuses what is no number"
    logger("mlflow", tmp_path)(4, {"loss": 0.4})
    assert mlflow.started == [f"new {tmp_path.name}", "id-1"], "a resumed training is the same run"


@pytest.mark.parametrize(("name", "module"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow")])
def test_a_library_that_is_missing_is_named_with_its_extra(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(TunesmithError, match=rf"train\.log: {name} .*pip install 'tunesmith\[track\]'"):
        logger(name, tmp_path)(1, {"loss": 0.5})


@pytest.mark.parametrize(
    ("setting", "value", "library", "extra"),
    [
        ("log", "tensorboard", "tensorboard", "track"),
        ("log", "mlflow", "mlflow", "track"),
        ("optimizer", "lion", "pytorch_optimizer", "optim"),
        ("optimizer", "adamw8bit", "bitsandbytes", "quant"),
    ],
)
def test_a_library_that_is_missing_is_told_before_any_row_is_read(
    setting: str, value: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch, tiny_bases: TinyBases
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(TunesmithError, match=rf"train\.{setting}: {value} .*pip install 'tunesmith\[{extra}\]'"):
        train("classify", str(tiny_bases["bert"]), "nothing.csv", settings={setting: value})


def test_points_after_the_last_checkpoint_are_replaced_in_tensorboard(
    board: list[tuple[str, str, float, int]], tmp_path: Path
) -> None:
    killed = logger("tensorboard", tmp_path)
    killed(1, {"loss": 0.5})
    killed(2, {"loss": 0.4})
    logger("tensorboard", tmp_path)(2, {"loss": 0.4})
    assert [step for _, name, _, step in board if name == "purged from"] == [1, 2]

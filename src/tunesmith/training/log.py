"""Further places for the curves, by one word: TensorBoard or MLflow. history.jsonl is always written."""

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tunesmith.errors import TunesmithError
from tunesmith.files import write_text

Log = Callable[[int, Mapping[str, float]], None]


def logger(name: str, folder: Path) -> Log:
    """A function that is told (step, {name: value}). Raises TunesmithError when its library is not installed."""
    if name == "none":
        return lambda step, values: None
    try:
        return _tensorboard(folder) if name == "tensorboard" else _mlflow(folder)
    except ImportError as error:
        raise TunesmithError(f"train.log: {name} is not installed. Run: pip install 'tunesmith[track]'") from error


def _tensorboard(folder: Path) -> Log:
    from torch.utils.tensorboard import SummaryWriter

    writers: list[SummaryWriter] = []

    def log(step: int, values: Mapping[str, float]) -> None:
        if (
            not writers
        ):  # points that a killed training wrote after its last checkpoint are told once more, and replaced
            writers.append(SummaryWriter(str(folder / "tensorboard"), purge_step=step))
        for name, value in values.items():
            writers[0].add_scalar(name, value, step)
        writers[0].flush()

    return log


def _mlflow(folder: Path) -> Log:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # before the import: no telemetry, ours or a library's
    os.environ.setdefault("DO_NOT_TRACK", "true")
    import mlflow

    if "MLFLOW_TRACKING_URI" not in os.environ:
        mlflow.set_tracking_uri(f"sqlite:///{folder.resolve() / 'mlflow.db'}")
    run = mlflow.active_run() or _mlflow_run(mlflow, folder)

    def log(step: int, values: Mapping[str, float]) -> None:
        mlflow.log_metrics(
            {k: float(v) for k, v in values.items() if math.isfinite(v)}, step=step, run_id=run.info.run_id
        )

    return log


def _mlflow_run(mlflow: Any, folder: Path) -> Any:
    """MLflow's run of this folder: a resumed training goes on in the one that it began."""
    number = folder / "mlflow_run.txt"
    if number.is_file():
        return mlflow.start_run(run_id=number.read_text(encoding="utf-8"))
    run = mlflow.start_run(run_name=folder.name)
    write_text(number, run.info.run_id)
    return run

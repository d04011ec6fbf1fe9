"""Checkpoints: complete or absent, checked by digest, and the newest good one is used.

`checkpoints/step-00000120/` holds weights.safetensors (everything that may move), optimizer.safetensors,
method.safetensors (masks and averages of the method), state.json, and manifest.json with all digests.
`checkpoints/best-00000080/` holds the weights of the best evaluation.
"""

import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import TunesmithError
from tunesmith.files import free_bytes, read_json, verify_folder, write_folder, write_json

if TYPE_CHECKING:
    from torch import Tensor

KEEP = 2
_NAME = re.compile(r"^step-(\d{8})$")


@dataclass
class State:
    """What the loop knows besides tensors, after `step` optimizer steps."""

    step: int = 0
    total: int = 0
    """Steps of the whole run."""
    evaluations: int = 0
    best_value: float | None = None
    best_step: int | None = None
    stale: int = 0
    """Evaluations since the best one."""
    drops: int = 0
    """Times that the plateau schedule has lowered the rate."""
    finished: bool = False
    """Whether training is over (all steps done, or stopped early)."""
    reason: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    loss_sum: float = 0.0
    loss_rows: float = 0.0
    """Running training loss since the last evaluation: sum over rows, and rows."""
    history_lines: int = 0
    memory: dict[str, float] = field(default_factory=dict)
    """{forecast_mb, peak_mb, error}: of the process while it trains, as it was forecast and as it was."""
    forecast: dict[str, Any] = field(default_factory=dict)
    """Seconds and disk, as they were forecast; and by how much (`training.foreseeing`)."""
    micro_tokens: int | None = None
    """Tokens of a forward pass, once memory ran out with as many as the plan has."""
    warnings: list[str] = field(default_factory=list)
    kernel: dict[str, Any] = field(default_factory=dict)
    """What the bits depend on (processor, threads, versions) where the run began."""
    equality: str = "bits"
    """exact once the run has been resumed where other bits come out."""


@dataclass
class Checkpoint:
    """A loaded checkpoint."""

    state: State
    weights: "dict[str, Tensor]"
    optimizer: "dict[str, Tensor]"
    method: "dict[str, Tensor]"


def write(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, then remove all but the newest `KEEP`. Nothing is removed before the new one is durable."""
    path = folder / f"step-{checkpoint.state.step:08d}"
    need = sum(t.numel() * t.element_size() for part in _parts(checkpoint).values() for t in part.values())
    if free_bytes(folder) < need * 1.05:
        raise TunesmithError(
            f"cannot write {path}: it needs {need / 1e6:.0f} MB and {free_bytes(folder) / 1e6:.0f} MB are free. "
            "Free some space and run the same command again: it goes on from the checkpoint before"
        )
    write_folder(path, lambda temporary: _fill(temporary, checkpoint))
    for old in steps(folder)[:-KEEP]:
        shutil.rmtree(folder / f"step-{old:08d}", ignore_errors=True)
    return path


def _parts(checkpoint: Checkpoint) -> "dict[str, Mapping[str, Tensor]]":
    return {"weights": checkpoint.weights, "optimizer": checkpoint.optimizer, "method": checkpoint.method}


def _fill(folder: Path, checkpoint: Checkpoint) -> None:
    from safetensors.torch import save_file

    for name, tensors in _parts(checkpoint).items():
        clean = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        save_file(clean, str(folder / f"{name}.safetensors"))
    write_json(folder / "state.json", asdict(checkpoint.state))


def steps(folder: Path) -> list[int]:
    """Steps that have a checkpoint, in order."""
    found = [_NAME.match(p.name) for p in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(m.group(1)) for m in found if m)


def newest_good(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint whose digests hold, and a sentence for each that was passed over."""
    passed = []
    for step in reversed(steps(folder)):
        path = folder / f"step-{step:08d}"
        if wrong := verify_folder(path):
            passed.append(f"checkpoint {path.name} is damaged ({'; '.join(wrong[:3])}); using the one before")
            continue
        return _read(path), passed
    return None, passed


def _read(path: Path) -> Checkpoint:
    from safetensors.torch import load_file

    return Checkpoint(
        state=State(**read_json(path / "state.json")),
        weights=load_file(str(path / "weights.safetensors")),
        optimizer=load_file(str(path / "optimizer.safetensors")),
        method=load_file(str(path / "method.safetensors")),
    )


def write_best(folder: Path, step: int, weights: "Mapping[str, Tensor]", about: dict[str, Any]) -> None:
    """Keep the weights of the best evaluation under `best-<step>/`; older ones stay while a checkpoint means them."""
    from safetensors.torch import save_file

    def fill(temporary: Path) -> None:
        clean = {k: v.detach().cpu().contiguous().clone() for k, v in weights.items()}
        save_file(clean, str(temporary / "weights.safetensors"))
        write_json(temporary / "about.json", about)

    write_folder(folder / f"best-{step:08d}", fill)
    meant = {step} | {_best_step(folder / f"step-{s:08d}") for s in steps(folder)}
    for old in folder.glob("best-*"):
        if int(old.name.removeprefix("best-")) not in meant:
            shutil.rmtree(old, ignore_errors=True)


def _best_step(path: Path) -> int | None:
    try:
        return State(**read_json(path / "state.json")).best_step
    except (TunesmithError, TypeError):
        return None  # a damaged checkpoint means nothing


def read_best(folder: Path, step: int) -> "tuple[dict[str, Tensor], dict[str, Any]]":
    """The weights of the best evaluation and what was written about them; refuses damaged ones."""
    from safetensors.torch import load_file

    path = folder / f"best-{step:08d}"
    if wrong := verify_folder(path):
        raise TunesmithError(f"{path} is damaged: {'; '.join(wrong)}")
    return load_file(str(path / "weights.safetensors")), read_json(path / "about.json")

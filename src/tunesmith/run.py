"""The run folder: whose it is, who works in it now, and where things are inside."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import TunesmithError
from tunesmith.files import digest_file, digest_json, read_json, write_json
from tunesmith.plan import Plan

IDENTITY = "run.json"
LOCK = "run.lock"


@dataclass(frozen=True)
class Run:
    """The folder of one attempt. Everything that a run leaves behind is a file below it."""

    path: Path

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def plan(self) -> Path:
        return self.path / "plan.yaml"

    @property
    def metrics(self) -> dict[str, Any]:
        """metrics.json: values with intervals, baselines, paired tests."""
        return dict(read_json(self.path / "metrics.json"))

    @property
    def reply(self) -> dict[str, Any] | None:
        """What `train` answered when the run was done; None while it is not."""
        file = self.path / "reply.json"
        return dict(read_json(file)) if file.is_file() else None

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def file(self, name: str) -> Path:
        """A file of the run."""
        return self.path / name


def identity(plan: Plan, data_digests: list[str], base_digest: str) -> dict[str, Any]:
    """What makes two runs the same: the plan without addresses, and the content of data, base and files of steps."""
    tree = plan.model_dump(mode="json")
    tree.pop("run")
    tree["data"].pop("cache")
    for key in ("train", "validation", "test"):
        value = tree["data"][key]
        if key == "train":
            tree["data"][key] = [{"weight": s["weight"]} for s in value]
        elif isinstance(value, str):
            tree["data"][key] = "file"
    tree["base"].pop("name")
    (tree["tower"] or {}).pop("base", None)
    for step, told in zip(plan.steps, tree["steps"], strict=True):
        told |= {name: "file" for name in (*step.file_settings, *step.base_settings) if told[name] is not None}
    if tree["replay"]["file"] is not None:
        tree["replay"]["file"] = "file"
    opened = [digest_file(file) for step in plan.steps for file in step.files()]
    return {"plan": tree, "data": data_digests, "base": base_digest} | ({"files": opened} if opened else {})


def place(plan: Plan, who: dict[str, Any], *, fork: bool) -> Run:
    """The folder of this run: the plan's, or one named after data, task, method and digest. `fork`: a free name."""
    name = plan.run
    if name is None:
        stem = Path(plan.data.train[0].file).stem
        name = f"runs/{stem}-{plan.task.name}-{plan.method.name}-{digest_json(who)[:8]}"
    path = Path(name).expanduser()
    if not fork:
        return Run(path)
    number = 2
    while Path(f"{path}-{number}").exists():
        number += 1
    return Run(Path(f"{path}-{number}"))


def claim(run: Run, who: dict[str, Any]) -> None:
    """Make the folder this run's, or check that it is. A folder of another run is refused, field by field."""
    file = run.path / IDENTITY
    if not file.is_file():
        # a kill may leave the lock, and the temporary file that was to be the identity
        if run.path.is_dir() and any(p.name != LOCK and p.suffix != ".tmp" for p in run.path.iterdir()):
            raise TunesmithError(f"run: {run.path} exists and is no run of Tunesmith. Choose another folder with run=…")
        write_json(file, who)
        return
    before = read_json(file)
    if before != who:
        lines = "\n".join(f"  - {line}" for line in differences(before, who))
        raise TunesmithError(
            f"run: {run.path} holds another run. It differs in:\n{lines}\n"
            "Choose another folder with run=…, or pass --fork to start a new one beside it"
        )


def differences(before: Any, now: Any, path: str = "") -> list[str]:
    """Leaves in which two nested values differ, each as `path: before -> now`."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted(set(before) | set(now))
        return [d for k in keys for d in differences(before.get(k), now.get(k), f"{path}.{k}".strip("."))]
    if before == now:
        return []
    return [f"{path}: {json.dumps(before, ensure_ascii=False)} -> {json.dumps(now, ensure_ascii=False)}"]


@contextmanager
def lease(run: Run) -> Iterator[None]:
    """Hold the folder alone. The operating system frees the lock when the holder dies, however it dies."""
    import fcntl

    run.path.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(run.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise TunesmithError(f"run: cannot write into {run.path}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TunesmithError(f"run: {run.path} is in use: {_holder(handle)}. Wait for it, or pass --fork") from None
        about = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(about).encode(), 0)
        yield
    finally:
        os.close(handle)


def _holder(handle: int) -> str:
    try:
        about = json.loads(os.pread(handle, 4096, 0))
        minutes = (time.time() - about["since"]) / 60
        return f"process {about['pid']} on {about['host']} started {minutes:.0f} min ago"
    except (ValueError, KeyError, TypeError):
        return "another process has just started"

"""What a piece of work costs: CPU seconds of this process, wall time, and the peak of its anonymous memory."""

import threading
import time
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from types import TracebackType

STATUS = Path("/proc/self/status")
EVERY = 0.05
"""Seconds between looks at the memory."""


def anonymous_mb() -> float:
    """Memory of this process that no file stands behind (weights mapped from disk do not count). Linux only."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


class Meter:
    """Measures a `with` block; work may be paused between two blocks of one meter, and adds up."""

    def __init__(self) -> None:
        self.cpu = self.system = self.wall = self.peak_mb = 0.0
        self.start_mb: float | None = None
        """Memory when the first block began: imports, network and rows."""

    def __enter__(self) -> "Meter":
        now = anonymous_mb()
        self.start_mb = now if self.start_mb is None else self.start_mb
        self.peak_mb = max(self.peak_mb, now)
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        self._wall, self._system, self._cpu = time.perf_counter(), getrusage(RUSAGE_SELF).ru_stime, time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cpu += time.process_time() - self._cpu
        self.system += getrusage(RUSAGE_SELF).ru_stime - self._system
        self.wall += time.perf_counter() - self._wall
        self._over.set()
        self._watcher.join()
        self.peak_mb = max(self.peak_mb, anonymous_mb())

    def _watch(self) -> None:
        while not self._over.wait(EVERY):
            self.peak_mb = max(self.peak_mb, anonymous_mb())

    def told(self) -> dict[str, float]:
        """The fields of a result line."""
        assert self.start_mb is not None
        return {
            "cpu": round(self.cpu, 4), "user": round(self.cpu - self.system, 2), "wall": round(self.wall, 4),
            "peak_mb": round(self.peak_mb, 1), "start_mb": round(self.start_mb, 1),
        }  # fmt: skip


class Laps:
    """CPU seconds of the parts of a process that are measured apart, from its start on."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._last = 0.0

    def lap(self, part: str) -> None:
        """What has passed since the last lap belongs to this part."""
        now = time.process_time()
        self.parts[part] = round(self.parts.get(part, 0.0) + now - self._last, 3)
        self._last = now

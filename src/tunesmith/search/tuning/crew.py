"""Who trains: this process, one attempt after another, or several processes with an attempt each.

    crew.start(key, plan, folder, until)      when it is `free`
    key, standing = crew.done()               waits for one of them; standing is None where it was told to stop

A worker belongs to the process that made it. It notices when that is gone, however it went, leaves a checkpoint at the
next step and ends, so that a search that is started anew never shares a folder with what is left of the old one.
"""

import os
import signal
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from tunesmith.errors import Interrupted, TunesmithError
from tunesmith.plan import Plan
from tunesmith.progress import Progress, Stop
from tunesmith.search.attempt import Standing, advance
from tunesmith.search.ground import Ground

PER_WORKER = 1.5e9
"""Bytes that a worker wants at least: the libraries and a small base."""
PATIENCE = 120.0
"""Seconds for which a folder is waited for that a worker of an earlier start still holds."""


class Crew(ABC):
    """Trains pieces of attempts."""

    room: int
    """Attempts at a time."""

    def __init__(self) -> None:
        self.working: set[Any] = set()

    @property
    def free(self) -> bool:
        """Whether another attempt can start."""
        return len(self.working) < self.room

    @abstractmethod
    def start(self, key: Any, plan: Plan, folder: Path, until: float) -> None:
        """Train a plan on, to that share of its steps."""

    @abstractmethod
    def done(self) -> tuple[Any, Standing | None]:
        """One that has come to its end."""

    @abstractmethod
    def close(self) -> None:
        """Send everybody home."""


class Alone(Crew):
    """This process."""

    room = 1

    def __init__(self, ground: Ground) -> None:
        super().__init__()
        self._ground, self._asked = ground, dict[Any, tuple[Plan, Path, float]]()

    def start(self, key: Any, plan: Plan, folder: Path, until: float) -> None:
        self.working.add(key)
        self._asked[key] = plan, folder, until

    def done(self) -> tuple[Any, Standing | None]:
        key, asked = next(iter(self._asked.items()))
        del self._asked[key]
        self.working.discard(key)
        return key, held(self._ground, *asked)

    def close(self) -> None:
        self._asked.clear()


def paused(ground: Ground, plan: Plan, folder: Path, until: float) -> Standing | None:
    """`advance`; None where a wish to stop was granted first."""
    try:
        return advance(ground, plan, folder, until)
    except Interrupted:
        return None


class Several(Crew):
    """Processes of their own, with a share of the cores each."""

    def __init__(self, room: int, stop: Stop, *, online: bool) -> None:
        from concurrent.futures import Future, ProcessPoolExecutor
        from multiprocessing import get_context

        super().__init__()
        self.room, self._stop = room, stop
        context = get_context("spawn")  # a forked child would hang in the threads of tokenizers
        self._told = context.RawValue("b", 0)  # without a lock, which a worker that is killed could take with it
        threads = max(1, (os.cpu_count() or 1) // room)
        # os._exit of a worker whose parent is gone; a worker that dies (killed for memory) breaks the pool, and is told
        self._pool = ProcessPoolExecutor(room, context, _begin, (os.getpid(), self._told, threads, online))
        self._asked: dict[Future[Standing | None], Any] = {}

    def start(self, key: Any, plan: Plan, folder: Path, until: float) -> None:
        self.working.add(key)
        future = self._pool.submit(_work, plan.model_dump(mode="json"), str(folder), until)
        self._asked[future] = key

    def done(self) -> tuple[Any, Standing | None]:
        from concurrent.futures import FIRST_COMPLETED, wait
        from concurrent.futures.process import BrokenProcessPool

        while True:
            if self._stop.signal is not None:
                self._told.value = 1
            ready, _ = wait(self._asked, timeout=0.2, return_when=FIRST_COMPLETED)
            if ready:
                break
        future = min(ready, key=lambda each: str(self._asked[each]))
        key = self._asked.pop(future)
        self.working.discard(key)
        try:
            return key, future.result()
        except BrokenProcessPool:
            raise TunesmithError("tune: a worker was killed, most likely for the memory it took. Ask for fewer with "
                                 "search.workers=1, and run the same command again: it goes on") from None  # fmt: skip

    def close(self) -> None:
        self._told.value = 1
        self._pool.shutdown(wait=True, cancel_futures=True)


class _Told(Stop):
    """The wish to stop of the process that made this one; its death is one, too."""

    def __init__(self, parent: int, event: Any) -> None:
        self._parent, self._event = parent, event
        super().__init__()

    @property
    def orphaned(self) -> bool:
        """Whether that process is gone."""
        return os.getppid() != self._parent

    @property
    def signal(self) -> int | None:
        """Of that process."""
        return int(signal.SIGTERM) if self.orphaned or self._event.value else None

    @signal.setter
    def signal(self, value: int | None) -> None:
        """Nobody but that process tells it to stop."""


_HERE: dict[str, Any] = {}
"""The ground of a worker, and who tells it to stop."""


def _begin(parent: int, event: Any, threads: int, online: bool) -> None:
    """Make a worker ready."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one decides
    torch.set_num_threads(threads)
    _HERE["stop"] = _Told(parent, event)
    _HERE["ground"] = Ground(Progress(silent=True), _HERE["stop"], online=online)


def _work(tree: dict[str, Any], folder: str, until: float) -> Standing | None:
    """A piece of an attempt, in a worker."""
    from tunesmith.plan_text import make_plan

    found = held(_HERE["ground"], make_plan(tree), Path(folder), until)
    if _HERE["stop"].orphaned:
        os._exit(0)  # nobody reads the answer
    return found


def held(ground: Ground, plan: Plan, folder: Path, until: float) -> Standing | None:
    """`paused` in a folder that nobody else works in."""
    import time

    from tunesmith.run import Run, lease

    last = time.monotonic() + PATIENCE
    while True:
        try:
            with lease(Run(folder)):
                return paused(ground, plan, folder, until)
        except TunesmithError as error:
            if "is in use" not in str(error) or time.monotonic() > last:
                raise
            time.sleep(0.2)


def crew_for(workers: Any, trials: int, ground: Ground, stop: Stop) -> Crew:
    """As many workers as were asked for; `auto`: as cores, memory and trials allow."""
    import psutil

    if workers == "auto":
        fits = int(psutil.virtual_memory().available // PER_WORKER)
        workers = max(1, min(len(psutil.Process().cpu_affinity()), fits, trials))
    return Alone(ground) if workers == 1 else Several(int(workers), stop, online=ground.online)

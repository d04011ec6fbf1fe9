"""How long a search may take, over all calls of it, and the wish to stop that comes of it."""

import time
from pathlib import Path

from tunesmith.files import read_json, write_json
from tunesmith.progress import Stop

FILE = "spent.json"


class Deadline(Stop):
    """A wish to stop by a signal, or because the time is over."""

    def __init__(self, folder: Path, budget: float | None, asked: Stop) -> None:
        self._file, self._by, self._budget = folder / FILE, asked, budget
        self._earlier = float(read_json(self._file)["seconds"]) if self._file.is_file() else 0.0
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Spent by all calls so far."""
        return self._earlier + time.monotonic() - self._began

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return self._budget is not None and self.seconds >= self._budget

    def forgive(self) -> None:
        """Let one more thing be done."""
        self._budget = None

    @property
    def told(self) -> bool:
        """Whether somebody wants it to stop."""
        return self._by.signal is not None

    @property
    def signal(self) -> int | None:
        """-1: by the clock."""
        return self._by.signal or (-1 if self.over else None)

    @signal.setter
    def signal(self, value: int | None) -> None:
        """Signals reach the one that was there before."""

    def keep(self) -> None:
        """Write down what was spent, for the next call."""
        write_json(self._file, {"seconds": self.seconds})

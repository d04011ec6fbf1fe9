"""The journal of a race: what was decided, and when, a line each, in the order in which it fell.

Whoever walks through a race asks the journal before doing anything: what stands there is not done again. So a killed
race repeats its own decisions, even those that the clock decided, and goes on behind the last one. Time between the
last line and a kill is not counted.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunesmith.files import append_line, write_text

NAME = "race.jsonl"


class Journal:
    """Decisions by name."""

    def __init__(
        self, file: Path, clock: Callable[[], float] = time.monotonic, began: float | None = None
    ) -> None:  # fmt: skip
        """`began`: when the clock was started; now, unless given."""
        self._file, self._clock = file, clock
        self.entries: dict[str, Any] = {}
        self._before = 0.0
        if file.is_file():
            self._read()
        self._began = clock() if began is None else began

    def _read(self) -> None:
        whole = [line for line in self._file.read_text(encoding="utf-8").split("\n")[:-1] if line]
        for line in map(json.loads, whole):
            self.entries[line["what"]] = line["value"]
            self._before = line["at"]
        write_text(self._file, "".join(f"{line}\n" for line in whole))  # without a last line that a kill tore

    @property
    def spent(self) -> float:
        """Seconds that the race has taken, those before a kill included."""
        return self._before + self._clock() - self._began

    def once(self, what: str, decide: Callable[[], Any]) -> Any:
        """What was decided of this; decided now, and written down, where it was not. Values are JSON."""
        if what not in self.entries:
            value = json.loads(json.dumps(decide()))  # as it will be read
            append_line(self._file, {"what": what, "at": round(self.spent, 3), "value": value})
            self.entries[what] = value
        return self.entries[what]

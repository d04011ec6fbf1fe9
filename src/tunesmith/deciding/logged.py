"""The log of a live A/B test: JSON Lines of answers and of what became of them later, joined by `id`.

    {"id": "7f", "version": "tickets@3", "answer": "leak"}      written when a version answers
    {"id": "7f", "outcome": 1}                                  written when it is known whether that was good

Both may stand on one line. Outcomes count in the order in which they come.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.errors import TunesmithError
from tunesmith.metrics import Floats


@dataclass
class Log:
    """What a log says, outcome by outcome."""

    versions: list[str] = field(default_factory=list)
    """Version of each outcome, in the order in which outcomes came."""
    outcomes: list[float] = field(default_factory=list)
    """Each in its own unit."""
    answered: dict[str, int] = field(default_factory=dict)
    """How many answers each version gave, in the order in which versions appear."""

    def of(self, a: str, b: str, scale: tuple[float, float]) -> tuple[NDArray[np.bool_], Floats]:
        """(is it b's (T,), outcome between 0 and 1 (T,)) of two versions."""
        kept = [i for i, version in enumerate(self.versions) if version in (a, b)]
        is_b = np.array([self.versions[i] == b for i in kept], dtype=bool)
        low, high = scale
        return is_b, (np.array([self.outcomes[i] for i in kept], dtype=np.float64) - low) / (high - low)

    def waiting(self, version: str) -> int:
        """Answers whose outcome is not known."""
        return self.answered[version] - self.versions.count(version)


def read_log(path: Path, scale: tuple[float, float]) -> Log:
    """The log in a file. Raises TunesmithError with the line for what is no such log: broken JSON, an outcome without
    an answer, a second one, one outside `scale`. A last line without its end was cut off and is left alone."""
    if not path.is_file():
        raise TunesmithError(f"--log {path}: no such file")
    log, version_of, known = Log(), dict[str, str](), set[str]()
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.split("\n")[:-1] if text and text[-1] != "\n" else text.splitlines(), start=1):
        if line.strip():
            _take(_parsed(line, f"{path}:{number}"), f"{path}:{number}", scale, log, version_of, known)
    return log


def _parsed(line: str, place: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise TunesmithError(f"{place}: not JSON ({error}). A log has one JSON object a line") from None
    if not isinstance(found, dict) or "id" not in found or not {"version", "outcome"} & set(found):
        raise TunesmithError(f'{place}: a line of a log is {{"id": …, "version": …}} or {{"id": …, "outcome": …}}')
    return found


def _take(
    line: dict[str, Any], place: str, scale: tuple[float, float], log: Log, version_of: dict[str, str], known: set[str]
) -> None:
    who = str(line["id"])
    if "version" in line:
        if who in version_of:
            raise TunesmithError(f"{place}: the id '{who}' was answered before. Give each answer an id of its own")
        version_of[who] = str(line["version"])
        log.answered[version_of[who]] = log.answered.get(version_of[who], 0) + 1
    if line.get("outcome") is None:
        return
    if who not in version_of:
        raise TunesmithError(f"{place}: an outcome for the id '{who}', which nobody answered")
    if who in known:
        raise TunesmithError(f"{place}: a second outcome for the id '{who}'. A test cannot take outcomes back")
    value = line["outcome"]
    if not isinstance(value, bool | int | float) or not scale[0] <= value <= scale[1]:
        raise TunesmithError(
            f"{place}: the outcome {value!r} is no number from {scale[0]:g} to {scale[1]:g}. Name the scale of "
            "outcomes: --scale LOW HIGH"
        )
    known.add(who)
    log.versions.append(version_of[who])
    log.outcomes.append(float(value))

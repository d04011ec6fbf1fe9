"""What tasks share whose rows are sounds: files -> one rate -> at most so many seconds -> what the base reads.

What was resampled and what was cut is told, with numbers; a clip that is too short to be heard is an error.

Shape letters: S samples of a clip.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tunesmith import scratch
from tunesmith.data import Record
from tunesmith.data.opening import Unreadable
from tunesmith.data.overlap import rows_shown
from tunesmith.data.ragged import Ragged
from tunesmith.data.sounds import at_rate, hear
from tunesmith.data.waves import Waves
from tunesmith.errors import TunesmithError
from tunesmith.scratch import Column
from tunesmith.tasks import Array, Encoded, Tick

if TYPE_CHECKING:
    from tunesmith.bases.hearing import SoundProcessor


@dataclass
class Told:
    """What was done to the clips of a set."""

    rates: Counter[int]
    """Clips by the rate that they had, in Hz, of those that were resampled."""
    cut: int = 0
    seconds: float = 0.0
    """Cut off, of all clips."""

    def notes(self, rate: int, limit: float) -> tuple[str, ...]:
        """For the user."""
        lines = [f"{n} clips of {old} Hz resampled to {rate} Hz" for old, n in sorted(self.rates.items())]
        if self.cut:
            lines.append(f"{self.cut} clips cut at {limit:g} s, {self.seconds:.1f} s in all (task.seconds)")
        return tuple(lines)


def encode(
    records: Sequence[Record], column: str, processor: "SoundProcessor", seconds: float, targets: Array | None,
    tick: Tick,
) -> Encoded:  # fmt: skip
    """Rows as the network hears them."""
    flat, sizes, steps, lost = Column(np.float32), Column(np.int64), Column(np.int64), Column(np.int32)
    told, limit = Told(Counter()), _limit(processor, seconds)
    for record in records:
        samples_S, beyond = _clip(record, column, processor.rate, limit, told)
        made = processor(samples_S).ravel()
        if (count := processor.steps(len(samples_S))) < 1:
            raise TunesmithError(
                f"{rows_shown([record])}: {record.cells[column]}: {len(samples_S) / processor.rate:.3f} s are too "
                "short for this base to hear anything. Take the row out"
            )
        flat.extend(made)
        sizes.extend([len(made)])
        steps.extend([count])
        lost.extend([round(beyond * count / len(samples_S))])
        tick(1)
    starts, places = (np.concatenate([[0], c.array().cumsum()]).astype(np.int64) for c in (sizes, steps))
    waves = Waves(flat.array(), starts, processor.name, processor.masked, processor.shape)
    return Encoded(
        ids=Ragged(np.broadcast_to(np.int32(0), int(places[-1])), places), types=None, lost=lost.array(), side=None,
        weights=scratch.filled((r.weight for r in records), len(records), np.float32), waves=waves, targets=targets,
        notes=told.notes(processor.rate, limit / processor.rate),
    )  # fmt: skip


def _limit(processor: "SoundProcessor", seconds: float) -> int:
    """Most samples of a clip."""
    asked = max(1, int(seconds * processor.rate))
    return asked if processor.longest is None else min(asked, processor.longest)


def _clip(record: Record, column: str, rate: int, limit: int, told: Told) -> tuple[Array, int]:
    """(samples that are heard, how many are cut off)."""
    path = Path(str(record.cells[column]))
    try:
        heard = hear(path)
    except Unreadable as error:
        raise TunesmithError(f"{path}: was read before, and now: {error}. Put it back and run again") from None
    if heard.rate != rate:
        told.rates[heard.rate] += 1
    samples_S = at_rate(heard.samples_S, heard.rate, rate)
    beyond = max(0, len(samples_S) - limit)
    if beyond:
        told.cut += 1
        told.seconds += beyond / rate
    return samples_S[:limit], beyond


def replayed(folder: Path, records: Sequence[Record], column: str, seconds: float) -> tuple[str, dict[int, Array]]:
    """(name of the input, what the saved feature extractor, opened with transformers alone, makes of each file)."""
    from transformers import AutoFeatureExtractor

    library: Any = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)  # type: ignore[no-untyped-call]
    name, rate, made = str(library.model_input_names[0]), int(library.sampling_rate), []
    for record in records:
        heard = hear(Path(str(record.cells[column])))
        samples_S = at_rate(heard.samples_S, heard.rate, rate)[: max(1, int(seconds * rate))]
        made.append(np.asarray(library(samples_S, sampling_rate=rate, return_tensors="np")[name][0]))
    return name, dict(enumerate(made))

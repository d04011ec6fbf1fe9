"""What a run will take: memory, seconds and disk. Told before the first step, made better by the first few, and checked
against what happened; `State.forecast` holds the forecast, what was measured and the error of each.

Seconds are those of training, evaluations between its steps included; `work` adds what comes before and after.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.bases.family import EncoderDecoder, SightedLanguage, TwoTowers, plain
from tunesmith.engine import memory, rates, savings
from tunesmith.engine.fitting import fit
from tunesmith.engine.forecast import OPTIMIZER_BYTES, size
from tunesmith.engine.lessons import UNREAD
from tunesmith.model import kept
from tunesmith.moments import Moment
from tunesmith.training import checkpoint as checkpoints
from tunesmith.training.pace import Pace, spoken

if TYPE_CHECKING:
    from tunesmith.training.loop import Loop

OFF = 0.25
"""From this error on the user is told of a better forecast of the time."""


def error(forecast: float, measured: float) -> float:
    """How far a forecast was off: 0.1 is a tenth too high, -0.1 a tenth too low."""
    return round(forecast / measured - 1, 3) if measured else 0.0


class Foresight:
    """The forecast of a loop in progress."""

    def __init__(self, loop: "Loop") -> None:
        self.loop = loop
        self.at_start, self.floor, self.most = memory.peak(), 0, 0
        self.began = time.monotonic(), time.process_time()
        self.paces: tuple[Pace, Pace] | None = None
        """Of the clock on the wall, and of the process."""
        self.operations = 0.0

    def begin(self) -> None:
        """Before the first step: see whether a step fits, and tell what the run will take."""
        loop = self.loop
        device, narrow = loop.precision.accelerator.device, loop.precision.name != "fp32"
        found = fit(loop.model.shortcuts, loop.job.train, loop.batches, loop.moving, device, narrow=narrow)
        loop.model.shortcuts.notes = found.lines
        self.floor = most if (most := memory.peak()) > self.at_start else 0
        whole = max(self.floor, found.forecast.process + found.forecast.step)
        loop.state.memory["forecast_mb"] = round(whole / 2**20, 1)
        self.paces = self._pace(loop.state.seconds, 0), self._pace(loop.state.cpu_seconds, 1)
        line = [size(whole) + " of memory"]
        rate, source = self._rate()
        told: dict[str, Any] = {"steps": loop.total, "disk_mb": round(self.disk() / 2**20, 1)}
        if rate:
            told["seconds_before"] = round(self.paces[0].of(rate), 1)
            line.append(f"{spoken(self.paces[0].of(rate))} of training (speed by {source})")
        if loop.job.save:
            line.append(f"{size(self.disk())} of disk")
        loop.state.forecast = told | loop.state.forecast
        loop.job.progress.say("forecast: " + ", ".join(line))

    def _pace(self, before: float, clock: int) -> Pace:
        loop = self.loop
        now = (time.monotonic(), time.process_time())[clock]
        left, share = loop.total - loop.state.step, 1 / self._backward()
        moment = Moment.parse(loop.asked.evaluate_every).steps(loop.per_epoch)
        every = 0 if moment is None else -(-loop.total // moment) - 1 - loop.state.step // moment
        held = loop.job.validation.extents
        places = held.size + self._front * len(held)
        return Pace(left * self._mean(), max(0, every), share * places, before + now - self.began[clock])

    @property
    def _front(self) -> int:
        return self.loop.model.plan.method.extra_tokens()

    def _mean(self) -> float:
        """Places of a step, over the first epoch or the beginning of it."""
        lengths = savings.lengths_of_steps(self.loop.batches, self._front)
        return sum(float(each.sum()) for each in lengths) / max(1, len(lengths))

    def places(self, rows: Any) -> float:
        """Places of some rows."""
        return float(self.loop.job.train.extents.lengths_of(rows).sum()) + self._front * len(rows)

    def _backward(self) -> float:
        """What a place costs in a step, in forward passes: 1 where nothing passes back, 3 where everything learns."""
        shortcuts, plan = self.loop.model.shortcuts, self.loop.model.plan
        depth = len(shortcuts.family.block_list(shortcuts.net.auto))
        still = 0 if plan.method.thaws() else plan.method.still(shortcuts.net.auto, shortcuts.family)
        return 1 + (depth - still) / max(1, depth) * (2 if plan.method.moves_base() else 1)

    def _rate(self) -> tuple[float, str]:
        """(seconds a place as far as this machine is known, how it is known); 0 where operations are not counted."""
        shortcuts, loop = self.loop.model.shortcuts, self.loop
        family = shortcuts.family
        if family.sense != "text" or isinstance(family, EncoderDecoder | TwoTowers | SightedLanguage):
            return 0.0, ""
        sizes = savings.sizes_of(shortcuts.net.auto, family, shortcuts.resting())
        lengths = savings.lengths_of_steps(loop.batches, self._front)
        work = savings.packed_work(lengths, savings.padded_work(lengths, 1))
        if (labels := (loop.job.train.inner or loop.job.train).labels) is not None:
            work = replace(work, heads=work.tokens * float((labels.flat != UNREAD).mean()))
        self.operations = savings.operations(sizes, work) / max(1.0, work.tokens)
        speed, source = rates.speed(self._width(), loop.precision.accelerator.device.type)
        return self.operations / speed, source

    def _width(self) -> int:
        config: Any = plain(self.loop.model.net.auto).config
        return int(config.hidden_size)

    def disk(self) -> int:
        """Bytes of the run folder in the end."""
        loop = self.loop
        own = sum(t.numel() * t.element_size() for t in kept(loop.model).values())
        state = OPTIMIZER_BYTES[loop.asked.optimizer] * sum(p.numel() for p in loop.moving.values())
        saves = 1 if (moment := Moment.parse(loop.asked.save_every).steps(loop.per_epoch)) is None else (
            -(-loop.total // moment)
        )  # fmt: skip
        best = own if loop.asked.keep == "best" else 0
        return int(min(checkpoints.KEEP, saves) * (own + state) + best + own)

    def step(self, rows: Any, seconds: float, cpu_seconds: float) -> None:
        """A step was taken: the first few make a better forecast of the time, and of the memory."""
        assert self.paces is not None, "a loop begins before it steps"
        wall, cpu = self.paces
        cpu.step(cpu_seconds, self.places(rows))
        if not wall.step(seconds, self.places(rows)):
            return
        self.seen()
        told = self.loop.state.forecast
        before, now = told.get("seconds_before"), wall.forecast or 0.0
        told.setdefault("seconds", round(now, 2))
        told.setdefault("cpu_seconds", round(cpu.forecast or cpu.of(cpu.rate()), 2))
        if before is None or abs(error(before, now)) > OFF:
            self.loop.job.progress.say(f"forecast: {spoken(now)} of training, by its first steps")

    def seen(self) -> None:
        """Look at the memory that is held now."""
        device = self.loop.precision.accelerator.device
        if device.type == "cuda":
            self.most = int(memory.held(device)["memory_peak_mb"] * 2**20)
            return
        most = memory.peak()
        self.most = most if most > self.at_start else max(self.most, memory.resident())

    def end(self) -> None:
        """Training is over: what was measured, and how far the forecast was off."""
        self.seen()
        state = self.loop.state
        state.memory["peak_mb"] = round(self.most / 2**20, 1)
        state.memory["error"] = error(state.memory["forecast_mb"], state.memory["peak_mb"])
        told, share = state.forecast, state.step / max(1, state.forecast.get("steps", 1))
        measured = {"seconds": state.seconds, "seconds_before": state.seconds, "cpu_seconds": state.cpu_seconds}
        told["error"] = {k: error(told[k] * share, v) for k, v in measured.items() if told.get(k)}
        if self.operations and self.paces and self.paces[0].took:
            device = self.loop.precision.accelerator.device.type
            rates.remember(rates.speed_key(self._width(), device), self.operations / self.paces[0].rate())


def record(state: checkpoints.State, folder: Path, total: float, task: str) -> dict[str, Any]:
    """{what: {forecast, measured, error}} of a run whose folder is written, for its provenance; and what follows
    training is remembered for the next forecast. Seconds are those of all steps that were taken."""
    share = state.step / max(1, state.forecast.get("steps", 1))
    said, found = state.forecast, dict[str, Any]()
    around = rates.known().get(rates.after_key(task))
    training = {k: said[k] * share for k in ("seconds_before", "seconds", "cpu_seconds") if k in said}
    pairs = {
        "memory_mb": (state.memory.get("forecast_mb"), state.memory.get("peak_mb", 0.0)),
        "disk_mb": (said.get("disk_mb"), sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 2**20),
        "training_seconds": (training.get("seconds_before"), state.seconds),
        "training_seconds_by_first_steps": (training.get("seconds"), state.seconds),
        "training_cpu_seconds_by_first_steps": (training.get("cpu_seconds"), state.cpu_seconds),
        "seconds": (around + training["seconds_before"] if around and "seconds_before" in training else None, total),
    }
    for what, (forecast, measured) in pairs.items():
        if forecast:
            off = error(forecast, measured)
            found[what] = {"forecast": round(forecast, 2), "measured": round(measured, 2), "error": off}
    if total > state.seconds:
        rates.remember(rates.after_key(task), total - state.seconds)
    return found

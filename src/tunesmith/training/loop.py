"""The training loop: one optimizer step after another, resumable bit for bit at every checkpoint.

Randomness is a function of (seed, step): the rows of a step and its dropout are drawn anew from both, so that a
checkpoint holds no generator state and a resumed run cannot drift from an uninterrupted one.

Shape letters: B rows of a piece, C outputs, N rows.
"""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tunesmith.engine import memory, statistics
from tunesmith.engine.batches import Batches, step_rows
from tunesmith.engine.checkpointing import switch
from tunesmith.engine.network import training_mode
from tunesmith.engine.noise import Noise
from tunesmith.engine.precision import Precision
from tunesmith.errors import Interrupted
from tunesmith.files import append_line
from tunesmith.machine import give_memory_back, keep_freed_memory
from tunesmith.model import weights
from tunesmith.moments import Moment
from tunesmith.training import checkpoint as checkpoints
from tunesmith.training import optimizer as optimizers
from tunesmith.training import watch
from tunesmith.training.average import average_of
from tunesmith.training.foreseeing import Foresight
from tunesmith.training.given import Job, step_seed
from tunesmith.training.judging import evaluate
from tunesmith.training.keeping import finish, resume, save
from tunesmith.training.retrying import taken
from tunesmith.training.schedule import factor, warmup_steps
from tunesmith.training.terms import Terms


class Loop:
    """A run of training in progress."""

    def __init__(self, job: Job) -> None:
        self.job, self.model, self.asked = job, job.model, job.model.plan.train
        watch.refuse_masked(job.train)
        self.precision = Precision(self.asked.precision)
        self.net = self.precision.place(self.model.net)
        if self.asked.neftune is not None or any(p.disturbs_words for p in self.model.plan.penalties):
            self.net.noise = Noise(self.net.auto, self.asked.neftune or 0.0)
        self.moving, self.statistics = weights(self.model), statistics.note(self.net)
        self.terms = Terms(self.model, self.moving, job.aids, job.train)
        groups = [*optimizers.groups(self.model, self.moving), *self.terms.groups()]
        self.optimizer = self.precision.prepare(optimizers.make(self.asked.optimizer, groups, self.asked.momentum))
        train = job.train
        self.batches = Batches(train.extents, self.asked.batch, self.asked.batch_tokens, self.asked.seed, train.blend)
        self.per_epoch = self.batches.per_epoch
        self.total = self.model.plan.total_steps(len(self.batches), self.per_epoch)
        self.state = checkpoints.State()
        if self.asked.max_steps is not None and self.asked.max_steps > self.total:
            self.state.warnings.append(
                f"train.max_steps: {self.asked.max_steps} had no effect, all epochs are {self.total} steps"
            )
        if self.total and warmup_steps(self.asked, self.total, self.per_epoch) >= self.total:
            self.state.warnings.append(
                f"warm-up ({self.asked.warmup}) takes all {self.total} steps of the run: the rate never reaches its "
                "course after it. Shorten train.warmup, or train longer"
            )
        self.average = average_of(self.asked, self.moving, self.total, self.per_epoch)
        if text := statistics.warning(self.net):
            self.state.warnings.append(text)
        self.evaluations: list[dict[str, float]] = []
        self.best_in_memory: dict[str, torch.Tensor] = {}
        self.in_training_mode = False
        self.rows: Any = ()
        """Of the last step."""
        self.foresight = Foresight(self)
        self.paused = False
        """Whether as much is done as was asked for, and all is not."""
        self.clocks = dict.fromkeys(("evaluate", "save", "log"), time.monotonic())

    @property
    def checkpoint_folder(self) -> Path:
        return self.job.folder / "checkpoints"

    @property
    def micro_tokens(self) -> int:
        """Tokens of a forward pass: the plan's, or fewer since memory ran out."""
        return self.state.micro_tokens or self.asked.micro_tokens

    def run(self) -> checkpoints.State:
        """Train to the end (or to the early stop, or to the pause), then put the kept weights into the model."""
        give_memory_back()
        keep_freed_memory()
        self.foresight = Foresight(self)
        if self.job.save:
            resume(self)
        self.state.total = self.total
        began, cpu_began = time.monotonic(), time.process_time()
        self._prepare_method()
        self._take_shortcuts()
        seconds, cpu_seconds = self.state.seconds, self.state.cpu_seconds
        with self.job.progress.bar("training", self.total, "steps", self.state.step):
            self.paused = self._paused()
            while self.state.step < self.total and not self.state.finished and not self.paused:
                now, cpu_now = time.monotonic(), time.process_time()
                self._step()
                self.foresight.step(self.rows, time.monotonic() - now, time.process_time() - cpu_now)
                self.state.seconds = seconds + time.monotonic() - began
                self.state.cpu_seconds = cpu_seconds + time.process_time() - cpu_began
                self._after_step()
        self.foresight.end()
        finish(self)
        switch(self.net, self.model.family, on=False)
        if self.net.noise is not None:
            self.net.noise.remove()
            self.net.noise = None
        return self.state

    def _take_shortcuts(self) -> None:
        """Choose and prove the engine's shortcuts, and run the blocks that never move."""
        shortcuts, job = self.model.shortcuts, self.job
        shortcuts.prove(job.train, learning=True)
        shortcuts.cache({"train": job.train, "validation": job.validation}, job.progress)
        give_memory_back()  # the check held the gradients of two ways, and steps need other pieces
        self.foresight.begin()
        shortcuts.notes += self.terms.rest(self.model, job.train)
        epochs = max(1, self.total // max(1, self.per_epoch))
        job.progress.say(self.precision.about)
        for line in shortcuts.explain(job.train, self.batches, epochs):
            job.progress.say(line)

    # one step

    def _step(self) -> None:
        step = self.state.step
        epoch, place = divmod(step, self.per_epoch)
        if place == 0 or not self.in_training_mode:
            for half in self.model.halves:
                half.method.thaw(half.auto, half.family, epoch)
            training_mode(self.model.net, self.model.plan.method, self.model.family)
            self.in_training_mode = True
        seed = step_seed(self.asked.seed, step)
        if self.net.noise is not None:
            self.net.noise.seed = seed
        rows = self.batches.rows(step)
        loss, penalty = taken(self, rows, seed, self._backward)
        rate = self._set_rates(step)
        watch.refuse_bad_loss(loss, step + 1, self.model.learning_rate)
        if step == 0:
            watch.refuse_silent_tensors(self.moving, step)
        norm = self._move(step)
        self.state.step += 1
        weight = self.model.plan.task.weigh(self.job.train, rows)
        self.state.loss_sum += loss * weight
        self.state.loss_rows += weight
        self._log_step(loss, penalty, rate, norm)
        self.rows = rows

    def _backward(self, rows: Any, seed: int) -> tuple[float, float]:
        """Add up the gradients of the step's weighted mean loss and of the penalties; returns both values."""
        with self.terms.within(seed):
            loss, penalty = self.terms.gradients(rows, self._weigh, partial(self._gradients, seed=seed), seed)
            own = [half.method.extra_loss(half.auto) for half in self.model.halves]
            for term in (*own, self.terms.of_weights()):
                if term is not None:
                    self.precision.backward(term)
                    penalty += term.item()
            self.terms.after(lambda: self._gradients(rows, self._weigh(rows), seed))
        return loss, penalty

    def _weigh(self, rows: Any) -> float:
        return self.model.plan.task.weigh(self.job.train, rows)

    def _gradients(self, rows: Any, whole: float, seed: int) -> tuple[float, float]:
        """Of the rows, piece by piece, divided by the weight of the `whole` step; returns their part of its mean loss,
        and what penalties on their outputs add."""
        encoded, task, way = self.job.train, self.model.plan.task, self.model.shortcuts.way
        total = more = 0.0
        with self.precision.autocast():
            encoded = task.faced(way, encoded, rows, self.micro_tokens)
            pieces = list(way.pieces(encoded, rows, self.micro_tokens))
            self.terms.face(way, encoded, pieces, self.state.step / self.total, seed)
        for piece in pieces:
            with self.precision.autocast():
                loss, extra = self.terms.loss(way, encoded, piece)
            self.precision.backward((loss if extra is None else loss + extra) / whole)
            total += loss.item() / whole
            more += 0.0 if extra is None else extra.item() / whole
        return total, more

    def _move(self, step: int) -> float:
        for half in self.model.halves:
            half.method.before_step(half.auto, step + 1, self.total)
        moving = [p for p in self.moving.values() if p.grad is not None]
        norm = self.precision.clip(moving, self.asked.clip, self.optimizer)
        watch.refuse_bad_gradient(norm, step + 1, self.model.learning_rate)
        self.optimizer.step()
        for half in self.model.halves:
            half.method.after_step(half.auto, step + 1, self.total)
        self.model.plan.task.bound(self.model.net.auto)
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(self.moving, step + 1)
        return norm

    def _set_rates(self, step: int) -> float:
        share = factor(self.asked, step, self.total, self.per_epoch, self.state.drops)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * share
        return self.model.learning_rate * share

    def _log_step(self, loss: float, penalty: float, rate: float, norm: float) -> None:
        if self._due("log", self.asked.log_every) or self.state.step == self.total:
            line = {"loss": loss, "lr": rate, "grad_norm": norm, **self._memory()}
            if self.terms.terms:
                line["penalty"] = penalty
            self.journal({"kind": "step", "epoch": self.state.step / self.per_epoch, **line})
            self.job.log(self.state.step, line)
        self.job.progress.advance(1, f"loss {loss:.3f}")

    # evaluation, stopping, saving

    def _after_step(self) -> None:
        last = self.state.step == self.total
        if last or self._due("evaluate", self.asked.evaluate_every):
            evaluate(self)
            self.paused = self._paused()
        stopping = self.job.stop.signal is not None
        if self.state.step == self.total and not self.state.finished:
            self.state.finished, self.state.reason = True, "all steps done"
        done = stopping or self.paused or self.state.finished
        if self.job.save and (done or self._due("save", self.asked.save_every)):
            save(self)
        if stopping and not self.state.finished:
            raise Interrupted(
                f"stopped at step {self.state.step} of {self.total}; the state is saved in {self.job.folder}. "
                "Run the same command again to go on", self.job.stop.exit_code,
            )  # fmt: skip

    def _paused(self) -> bool:
        """Whether the share that was asked for is done, and the last thing done was to look at the validation rows."""
        looked = bool(self.evaluations) and self.evaluations[-1]["step"] == self.state.step
        return looked and self.job.until * self.total <= self.state.step < self.total

    def _memory(self) -> dict[str, float]:
        """Memory of the accelerator for the journal; warns once when it is nearly full."""
        device = self.precision.accelerator.device
        found = memory.held(device)
        self.foresight.seen()
        text = memory.warning(device, found["memory_peak_mb"]) if found else None
        if text and not any("MB of the device" in w for w in self.state.warnings):
            self.state.warnings.append(text)
            self.job.progress.say(f"warning: {text}")
        return found

    def _due(self, what: str, every: str) -> bool:
        moment = Moment.parse(every)
        steps = moment.steps(self.per_epoch)
        if steps is not None:
            return self.state.step % steps == 0
        if time.monotonic() - self.clocks[what] < moment.amount:
            return False
        self.clocks[what] = time.monotonic()
        return True

    def journal(self, line: dict[str, Any]) -> None:
        """Add a line to history.jsonl."""
        if self.job.save:
            append_line(self.job.folder / "history.jsonl", {"step": self.state.step, **line})
            self.state.history_lines += 1

    def _prepare_method(self) -> None:
        """Show each method the row losses it wants before step 1 (Fisher scores)."""
        for half in self.model.halves:
            want = min(half.method.needs_rows(), len(self.job.train))
            if want and not self.state.step:
                half.method.prepare(half.auto, half.family, self._losses(want))
                self.optimizer.zero_grad(set_to_none=True)

    def _losses(self, want: int) -> Iterator[torch.Tensor]:
        self.model.net.eval()
        for row in step_rows(len(self.job.train), want, self.asked.seed, 0):
            yield self.model.plan.task.step_loss(self.model.shortcuts.plain, self.job.train, [int(row)])

"""The training loop: one optimizer step after another, resumable bit for bit at every checkpoint.

Randomness is a function of (seed, step): the rows of a step and its dropout are drawn anew from both, so that a
checkpoint holds no generator state and a resumed run cannot drift from an uninterrupted one.

Shape letters: B rows of a piece, C outputs, N rows.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tunesmith.engine.batches import Batches, collate, step_rows
from tunesmith.engine.network import training_mode
from tunesmith.engine.precision import Precision
from tunesmith.errors import Interrupted, TunesmithError
from tunesmith.files import append_line, write_text
from tunesmith.machine import keep_freed_memory, kernel_key
from tunesmith.metrics import METRICS
from tunesmith.model import restore, weights
from tunesmith.moments import Moment
from tunesmith.tasks import Array
from tunesmith.training import checkpoint as checkpoints
from tunesmith.training import optimizer as optimizers
from tunesmith.training import watch
from tunesmith.training.ema import Average
from tunesmith.training.given import Job, finite, nothing, step_seed
from tunesmith.training.schedule import factor, warmup_steps


class Loop:
    """A run of training in progress."""

    def __init__(self, job: Job) -> None:
        self.job, self.model, self.asked = job, job.model, job.model.plan.train
        watch.refuse_masked(job.train.targets)
        self.precision = Precision(self.asked.precision)
        self.net = self.precision.place(self.model.net)
        self.moving = weights(self.model)
        groups = optimizers.groups(self.model, self.moving)
        self.optimizer = self.precision.prepare(optimizers.make(self.asked.optimizer, groups, self.asked.momentum))
        self.batches = Batches(job.train.lengths, self.asked.batch, self.asked.batch_tokens, self.asked.seed)
        self.per_epoch = self.batches.per_epoch
        self.total = self.model.plan.total_steps(len(job.train), self.per_epoch)
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
        self.average = Average(self.asked.ema, self.moving) if self.asked.ema else None
        self.evaluations: list[dict[str, float]] = []
        self.best_in_memory: dict[str, torch.Tensor] = {}
        self.in_training_mode = False
        self.clocks = dict.fromkeys(("evaluate", "save", "log"), time.monotonic())

    @property
    def checkpoint_folder(self) -> Path:
        return self.job.folder / "checkpoints"

    def run(self) -> checkpoints.State:
        """Train to the end (or to the early stop), then put the kept weights into the model."""
        keep_freed_memory()
        if self.job.save:
            self._resume()
        self._prepare_method()
        self._take_shortcuts()
        began, cpu_began = time.monotonic(), time.process_time()
        seconds, cpu_seconds = self.state.seconds, self.state.cpu_seconds
        with self.job.progress.bar("training", self.total, "steps", self.state.step):
            while self.state.step < self.total and not self.state.finished:
                self._step()
                self.state.seconds = seconds + time.monotonic() - began
                self.state.cpu_seconds = cpu_seconds + time.process_time() - cpu_began
                self._after_step()
        self._finish()
        return self.state

    def _take_shortcuts(self) -> None:
        """Choose and prove the engine's shortcuts, and run the blocks that never move."""
        shortcuts, job = self.model.shortcuts, self.job
        shortcuts.prove(job.train, self.model.plan.task.losses)
        shortcuts.cache({"train": job.train, "validation": job.validation}, job.progress)
        epochs = max(1, self.total // max(1, self.per_epoch))
        job.progress.say(self.precision.about)
        for line in shortcuts.explain(job.train, self.batches, epochs):
            job.progress.say(line)

    # one step

    def _step(self) -> None:
        step = self.state.step
        epoch, place = divmod(step, self.per_epoch)
        if place == 0 or not self.in_training_mode:
            self.model.plan.method.thaw(self.model.net.auto, self.model.family, epoch)
            training_mode(self.model.net, self.model.plan.method, self.model.family)
            self.in_training_mode = True
        torch.manual_seed(step_seed(self.asked.seed, step))
        rows = self.batches.rows(step)
        loss = self._backward(rows)
        rate = self._set_rates(step)
        watch.refuse_bad_loss(loss, step + 1, self.model.learning_rate)
        if step == 0:
            watch.refuse_silent_tensors(self.moving, step)
        norm = self._move(step)
        self.state.step += 1
        weight = float(self.job.train.weights[rows].sum())
        self.state.loss_sum += loss * weight
        self.state.loss_rows += weight
        self._log_step(loss, rate, norm)

    def _backward(self, rows: Any) -> float:
        """Add up the gradients of the step's weighted mean loss, piece by piece; returns that loss."""
        encoded, task = self.job.train, self.model.plan.task
        whole = float(encoded.weights[rows].sum())
        total = 0.0
        way = self.model.shortcuts.way
        for piece in way.pieces(encoded, rows, self.asked.micro_tokens):
            with self.precision.autocast():
                logits_BC = way.logits(encoded, piece)
            targets, weights_B = encoded.aims(piece, logits_BC.device)
            loss = (task.losses(logits_BC, targets) * weights_B).sum() / whole
            self.precision.backward(loss)
            total += loss.item()
        extra = self.model.plan.method.extra_loss(self.model.net.auto)
        if extra is not None:
            self.precision.backward(extra)
        return total

    def _move(self, step: int) -> float:
        method, auto = self.model.plan.method, self.model.net.auto
        method.before_step(auto, step + 1, self.total)
        moving = [p for p in self.moving.values() if p.grad is not None]
        norm = self.precision.clip(moving, self.asked.clip, self.optimizer)
        watch.refuse_bad_gradient(norm, step + 1, self.model.learning_rate)
        self.optimizer.step()
        method.after_step(auto, step + 1, self.total)
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(self.moving)
        return norm

    def _set_rates(self, step: int) -> float:
        share = factor(self.asked, step, self.total, self.per_epoch, self.state.drops)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * share
        return self.model.learning_rate * share

    def _log_step(self, loss: float, rate: float, norm: float) -> None:
        if self._due("log", self.asked.log_every) or self.state.step == self.total:
            line = {"loss": loss, "lr": rate, "grad_norm": norm}
            self._journal({"kind": "step", "epoch": self.state.step / self.per_epoch, **line})
            self.job.log(self.state.step, line)
        self.job.progress.advance(1, f"loss {loss:.3f}")

    # evaluation, stopping, saving

    def _after_step(self) -> None:
        last = self.state.step == self.total
        if last or self._due("evaluate", self.asked.evaluate_every):
            self._evaluate()
        stopping = self.job.stop.signal is not None
        if self.state.step == self.total and not self.state.finished:
            self.state.finished, self.state.reason = True, "all steps done"
        if self.job.save and (stopping or self.state.finished or self._due("save", self.asked.save_every)):
            self._save()
        if stopping and not self.state.finished:
            raise Interrupted(
                f"stopped at step {self.state.step} of {self.total}; the state is saved in {self.job.folder}. "
                "Run the same command again to go on", self.job.stop.exit_code,
            )  # fmt: skip

    def _due(self, what: str, every: str) -> bool:
        moment = Moment.parse(every)
        steps = moment.steps(self.per_epoch)
        if steps is not None:
            return self.state.step % steps == 0
        if time.monotonic() - self.clocks[what] < moment.amount:
            return False
        self.clocks[what] = time.monotonic()
        return True

    def _evaluate(self) -> None:
        with self.average.in_place(self.moving) if self.average else nothing():
            logits_NC = self.model.logits(self.job.validation)
            self.in_training_mode = False
            values = {"validation_loss": self._loss(logits_NC), **self.job.judge(logits_NC)}
            self.state.evaluations += 1
            values["train_loss"] = self.state.loss_sum / max(self.state.loss_rows, 1e-9)
            self.state.loss_sum = self.state.loss_rows = 0.0
            self._compare(values)
        self.evaluations.append(values)
        self._journal({"kind": "evaluation", "epoch": self.state.step / self.per_epoch, **finite(values)})
        self.job.log(self.state.step, values)
        self._warn(logits_NC)

    def _loss(self, logits_NC: Array) -> float:
        """Mean loss over the validation rows whose label is known."""
        encoded = self.job.validation
        assert encoded.targets is not None
        targets = torch.from_numpy(encoded.targets)
        known = targets >= 0 if targets.dtype == torch.int64 else torch.ones(len(targets), dtype=torch.bool)
        with torch.inference_mode():
            losses = self.model.plan.task.losses(torch.from_numpy(logits_NC), targets)[known]
        return float(losses.double().mean()) if len(losses) else float("nan")

    def _compare(self, values: Mapping[str, float]) -> None:
        """Remember the best weights; stop when they have not been beaten for `patience` evaluations."""
        name = self.model.plan.best_metric
        value = values["validation_loss"] if name == "loss" else values[name]
        lower = name == "loss" or METRICS.find(name).better == "lower"
        best = self.state.best_value
        if np.isfinite(value) and (best is None or (value < best if lower else value > best)):
            self.state.best_value, self.state.best_step, self.state.stale = float(value), self.state.step, 0
            self._keep_best(values)
            return
        self.state.stale += 1
        if self.asked.schedule == "plateau":
            self.state.drops += 1
        if self.asked.patience is not None and self.state.stale >= self.asked.patience:
            self.state.finished = True
            self.state.reason = f"no better {name} in {self.state.stale} evaluations"

    def _keep_best(self, values: Mapping[str, float]) -> None:
        if self.asked.keep == "last":
            return
        if self.job.save:
            about = {"step": self.state.step, **finite(values)}
            checkpoints.write_best(self.checkpoint_folder, self.state.step, self.moving, about)
        else:
            self.best_in_memory = {n: p.detach().clone() for n, p in self.moving.items()}

    def _warn(self, logits_NC: Array) -> None:
        found = [watch.overfitting(self.evaluations)]
        if self.model.plan.task.kind == "classes":
            predicted, _ = self.model.plan.task.answer(logits_NC, self.model.facts)
            found.append(watch.one_class(predicted, self.model.facts.labels))
        for text in found:
            if text and text not in self.state.warnings:
                self.state.warnings.append(text)
                self.job.progress.say(f"warning: {text}")

    def _save(self) -> None:
        self.state.kernel = self.state.kernel or kernel_key()
        method_state = self.model.plan.method.state(self.model.net.auto)
        if self.average:
            method_state = {**method_state, **self.average.tensors()}
        checkpoints.write(
            self.checkpoint_folder,
            checkpoints.Checkpoint(
                self.state, dict(self.moving), optimizers.state_tensors(self.optimizer.optimizer), method_state
            ),
        )

    def _journal(self, line: dict[str, Any]) -> None:
        if self.job.save:
            append_line(self.job.folder / "history.jsonl", {"step": self.state.step, **line})
            self.state.history_lines += 1

    # beginning and end

    def _resume(self) -> None:
        """Go on from the newest good checkpoint, and cut the journal back to it."""
        found, passed = checkpoints.newest_good(self.checkpoint_folder)
        for text in passed:
            self.job.progress.say(f"warning: {text}")
        history = self.job.folder / "history.jsonl"
        if found is None:
            write_text(history, "")
            if passed:
                raise TunesmithError(
                    f"all checkpoints in {self.checkpoint_folder} are damaged. Nothing was deleted. "
                    "To start over, move that folder away and run the same command again"
                )
            return
        restore(self.model, found.weights)
        optimizers.load_state(self.optimizer.optimizer, found.optimizer)
        self.model.plan.method.restore(self.model.net.auto, {k: v for k, v in found.method.items() if "ema|" not in k})
        if self.average:
            self.average.load(found.method)
        self.state = found.state
        self._compare_machines()
        lines = history.read_text(encoding="utf-8").splitlines()[: self.state.history_lines]
        write_text(history, "".join(line + "\n" for line in lines))
        self.evaluations = [e for e in map(json.loads, lines) if e["kind"] == "evaluation"]
        epoch = max(0, self.state.step - 1) // self.per_epoch
        self.model.plan.method.thaw(self.model.net.auto, self.model.family, epoch)
        self.job.progress.say(f"going on from step {self.state.step} of {self.total}")

    def _compare_machines(self) -> None:
        """Another machine, thread count or library computes the same up to rounding, and the run says so."""
        here = kernel_key()
        if self.state.kernel and self.state.kernel != here:
            odd = sorted(k for k in here if here[k] != self.state.kernel.get(k))
            self.state.equality = "exact"
            text = f"resumed on another machine state ({', '.join(odd)} differ): exact, not equal bit for bit"
            self.state.warnings.append(text)
            self.job.progress.say(f"warning: {text}")
        self.state.kernel = here

    def _prepare_method(self) -> None:
        """Show the method the row losses it wants before step 1 (Fisher scores)."""
        want = min(self.model.plan.method.needs_rows(), len(self.job.train))
        if not want or self.state.step:
            return
        rows = step_rows(len(self.job.train), want, self.asked.seed, 0)

        def losses() -> Any:
            self.model.net.eval()
            for row in rows:
                batch = collate(self.job.train, [int(row)], self.model.tokenizer.pad_token_id)
                assert batch.targets is not None
                logits_BC = self.model.net(batch)
                yield self.model.plan.task.losses(logits_BC, batch.targets.to(logits_BC.device)).sum()

        self.model.plan.method.prepare(self.model.net.auto, self.model.family, losses())
        self.optimizer.zero_grad(set_to_none=True)

    def _finish(self) -> None:
        if self.asked.keep == "last" or self.state.best_step is None:
            if self.average:
                self.average.copy_to(self.moving)
        elif self.job.save:
            restore(self.model, checkpoints.read_best(self.checkpoint_folder, self.state.best_step)[0])
        else:
            restore(self.model, self.best_in_memory)
        self.model.net.eval()

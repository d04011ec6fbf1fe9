"""An attempt: one plan trained in pieces, so that a search may look at it, leave it, and come back.

    advance(..., until=1/9)   trains the first ninth of its steps, to the next evaluation, and leaves a checkpoint
    advance(..., until=1)     goes on from there: the same weights as if it had never paused
    answered(...)             what its best weights answer to the held-out rows

The schedule is always that of the whole run: a rung is an early look at a long run, not a short run. What attempts
share (rows, tokens, trunk caches) is made once, see `ground`. Nothing is proven and no model is saved; a plan that is
chosen in the end is trained as a run.
"""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.data import Record
from tunesmith.errors import Interrupted, TunesmithError
from tunesmith.evaluation.judge import answers_of, better
from tunesmith.files import digest_json, read_json, replacing, write_json
from tunesmith.job import equip
from tunesmith.metrics import Answers
from tunesmith.model import Model
from tunesmith.plan import Plan
from tunesmith.search.ground import Ground
from tunesmith.tasks import Encoded, Facts
from tunesmith.work import decide, trained

STANDING, SAID, FACTS = "standing.json", "said.npz", "facts.json"
TIMED = 20
"""Rows that are answered one by one to time an answer."""


@dataclass(frozen=True)
class Standing:
    """How far an attempt has come, and how good it is."""

    plan: str
    """Digest of its plan."""
    step: int
    total: int
    value: float | None
    """Of the metric that picks checkpoints, on validation rows: the best so far; None where it has none."""
    step_of_value: int | None
    finished: bool
    """Whether all its steps are done, or it stopped early by itself, or it failed."""
    reason: str
    seconds: float
    """Of all its pieces, loading and caches included."""
    cpu_seconds: float
    memory_mb: float | None
    """The most that the process held while it trained."""
    learning: int
    parameters: int
    answer_ms: float | None = None
    """Median time of one row's answer, alone, once it is finished."""
    training: float = 0.0
    """Of `seconds`, those of its steps, at their pace in the last piece; the rest is loading, caches and checks."""
    rate: float | None = None
    """Its peak learning rate, as it was fitted to the base."""
    failed: str | None = None
    """Why it cannot go on: it diverged, a part refused, memory ran out."""

    @property
    def share(self) -> float:
        """Of its steps that are done."""
        return self.step / max(1, self.total)


def higher_is_better(plan: Plan) -> bool:
    """Of the metric that picks checkpoints."""
    return plan.best_metric != "loss" and better([plan.best_metric])[plan.best_metric] == "higher"


def standing(folder: Path, plan: Plan) -> Standing | None:
    """What was left in a folder; None where nothing was. Raises TunesmithError where another plan was tried there."""
    if not (file := folder / STANDING).is_file():
        return None
    found = Standing(**read_json(file))
    if found.plan != digest_of(plan):
        raise TunesmithError(f"{folder} holds an attempt at another plan. Choose another folder, or delete this one")
    return found


def digest_of(plan: Plan) -> str:
    """Of the plan without its address."""
    return digest_json(plan.model_dump(mode="json") | {"run": None})


def advance(ground: Ground, plan: Plan, folder: Path, until: float = 1.0, *, answers: bool = False) -> Standing:
    """Train on, to that share of all steps; an attempt that is further already is left as it is. `answers`: a pause,
    too, leaves what the best weights so far answer to the validation rows.

    A plan that fails (it diverges, a part refuses it, memory runs out) is an attempt that failed, not an error. A wish
    to stop is granted at the next step, with a checkpoint: raises Interrupted.
    """
    before = standing(folder, plan)
    if before is not None and (before.finished or before.share >= until):
        return before
    with _clocked(before) as spent:
        try:
            found = _piece(ground, plan, folder, until, answers=answers)
        except (TunesmithError, MemoryError) as error:
            if isinstance(error, Interrupted):
                raise
            found = _failed(plan, before, str(error) or "out of memory")
    found = replace(found, seconds=spent[0], cpu_seconds=spent[1])
    write_json(folder / STANDING, asdict(found))
    if found.finished:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return found


@contextmanager
def _clocked(before: Standing | None) -> Iterator[list[float]]:
    """[wall, CPU] seconds, with those of the pieces before; right once it is left."""
    began, spent = (time.monotonic(), time.process_time()), [0.0, 0.0]
    yield spent
    spent[0] = (before.seconds if before else 0.0) + time.monotonic() - began[0]
    spent[1] = (before.cpu_seconds if before else 0.0) + time.process_time() - began[1]


class Pace:
    """How long a step takes, from the first time that the loop tells of one in a piece to the last."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, float]] = []

    def saw(self, step: int, values: Mapping[str, float]) -> None:
        """The loop tells of a step."""
        self.seen = [*self.seen[:1], (step, time.monotonic())]

    def of(self, steps: int, otherwise: float) -> float:
        """Seconds of so many steps; `otherwise` where only one was told of."""
        if not self.seen or self.seen[-1][0] == self.seen[0][0]:
            return otherwise
        (first, began), (last, ended) = self.seen[0], self.seen[-1]
        return min(otherwise, steps * (ended - began) / (last - first))


def _piece(ground: Ground, plan: Plan, folder: Path, until: float, *, answers: bool) -> Standing:
    """Train, and where that was the last piece, leave what the model answers."""
    from tunesmith.engine.memory import forget_peak
    from tunesmith.engine.network import count

    forget_peak()  # of attempts before, in this process
    work = ground.work(plan, folder, time.monotonic())
    known = ground.known(work)
    folder.mkdir(parents=True, exist_ok=True)
    model = equip(work, known)
    assert work.lessons is not None, "a network is equipped with what it learns from"
    pace = Pace()
    state = trained(work, model, work.lessons, known.encoded["validation"], folder, until=until, log=pace.saw)
    model.net.train()  # parameters are counted as they were trained
    parameters = count(model.net)
    model.net.eval()
    milliseconds = _answer_ms(model, work.prepared.splits["validation"]) if state.finished else None
    if state.finished or answers:
        model = decide(model, known.encoded["validation"])
        shown = known.encoded if state.finished else {"validation": known.encoded["validation"]}
        _keep(folder, model, shown)
    return Standing(
        plan=digest_of(plan), step=state.step, total=state.total, value=state.best_value, step_of_value=state.best_step,
        finished=state.finished, reason=state.reason, seconds=0.0, cpu_seconds=0.0,
        memory_mb=state.memory.get("peak_mb"), learning=parameters["trainable"], parameters=parameters["total"],
        answer_ms=milliseconds, training=pace.of(state.step, state.seconds), rate=model.learning_rate,
    )  # fmt: skip


def _failed(plan: Plan, before: Standing | None, why: str) -> Standing:
    empty = Standing(digest_of(plan), 0, 0, None, None, False, "", 0.0, 0.0, None, 0, 0)
    return replace(before or empty, finished=True, reason="failed", failed=why)


def _answer_ms(model: Model, records: Sequence[Record]) -> float:
    """Milliseconds from one row to what the network says of it, alone: the median over some rows."""
    roles = model.plan.task.roles(labelled=False)

    def once(record: Record) -> float:
        began = time.perf_counter()
        model.outputs(model.encode([record], roles))
        return 1000 * (time.perf_counter() - began)

    once(records[0])  # what is made ready at the first answer
    return float(np.median([once(record) for record in records[:TIMED]]))


def _keep(folder: Path, model: Model, encoded: dict[str, Encoded]) -> None:
    """What the network says of the held-out rows."""
    said: dict[str, Any] = {name: model.outputs(each) for name, each in encoded.items() if name != "train"}
    write_json(folder / FACTS, model.facts.model_dump(mode="json"))
    with replacing(folder / SAID) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **said)


def answered(ground: Ground, plan: Plan, folder: Path, split: str) -> Answers:
    """What a finished attempt answers to the rows of `validation` or `test`, in the order of the split; a paused one
    that was asked for answers, to those of `validation`."""
    if not (folder / SAID).is_file():
        raise TunesmithError(f"{folder} has no answers: the attempt is not finished, or it failed")
    work = ground.work(plan, folder, time.monotonic())
    facts, encoded = Facts.model_validate(read_json(folder / FACTS)), ground.known(work).encoded[split]
    with np.load(folder / SAID, allow_pickle=False) as said:
        if split not in said.files:
            raise TunesmithError(f"{folder} has no answers to {split} rows: the attempt is not finished")
        return answers_of(work.plan.task, said[split], encoded, facts)

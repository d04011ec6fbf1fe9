"""An instalment beside what it is measured against, trained in the same run: `replay.beside`.

    plain   from the same version, on the new rows alone, without penalties that hold on to what was known
    joint   from the base that the first instalment began from, on new and old rows at once

Both have the method, the settings, the seed, the labels and the validation rows of the run, and see each row as often;
all answer the held-out rows of every instalment. Backward transfer and forgetting of two models that go on from one
version differ by nothing but the mean difference on earlier data, which is tested (paired bootstrap, Holm 1979).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tunesmith.bases.find import Found
from tunesmith.data import Record
from tunesmith.data.overlap import inputs, shared
from tunesmith.data.rows import chosen, joined
from tunesmith.earlier import Earlier
from tunesmith.engine.tower import sight_of
from tunesmith.errors import TunesmithError
from tunesmith.evaluation.compared import corrected
from tunesmith.evaluation.significance import Difference, paired_bootstrap, paired_mean
from tunesmith.instalments import answered, moved, old_rows, valued
from tunesmith.metrics import METRICS, Answers
from tunesmith.model import CARD, Model, read_card
from tunesmith.plan import Base, Plan, Replay
from tunesmith.work import Work, decide, fresh, trained

FOLDER = "beside"
NEVER_LOST: dict[str, float | None] = {"backward_transfer": None, "forgetting": None}
"""Of what learnt everything at once: it had nothing earlier to lose."""


@dataclass(frozen=True)
class Arm:
    """What is trained beside the run."""

    plan: Plan
    base: Found
    rows: Sequence[Record]
    old: int = 0
    """How many of the rows are old ones."""


def check(plan: Plan, before: Earlier) -> None:
    """Raises TunesmithError where what is asked for cannot be trained, before anything is."""
    if not plan.replay.beside:
        return
    if not before.tests:
        raise TunesmithError(
            f"replay.beside: base {plan.base.name} kept no held-out rows of an earlier instalment, so that there is "
            "nothing to compare on. Remove it from a first instalment; make the base with replay.keep: 200"
        )
    if "joint" in plan.replay.beside:
        _first_base(plan)


def measured(work: Work, model: Model, own: Sequence[Record], matrix: dict[str, Any]) -> dict[str, Any]:
    """{rows, arms: {name: {values, rows, old, of, backward_transfer, forgetting, earlier, here}}}: of each arm the
    metric on the held-out rows of every instalment, and by what the run differs from it on earlier data and its own."""
    tests, metric, arms = (*work.before.tests, own), matrix["metric"], dict[str, Any]()
    mine, tested = answered(model, tests), dict[Any, dict[str, Any]]()
    for name in dict.fromkeys(work.plan.replay.beside):
        arm = _plain(work) if name == "plain" else _joint(work, model, tests)
        other = _trained(work, model, arm, name)
        theirs = answered(other, tests)
        values = valued(other, theirs, metric)
        lost = moved([*work.before.values, values], metric) if name == "plain" else NEVER_LOST
        arms[name] = {"values": values, "rows": len(arm.rows), "old": arm.old, "of": _all_old(work), **lost}
        for where, found in _differences(work.plan, metric, mine, theirs).items():
            arms[name][where] = tested[name, where] = _told(found)
    corrected(tested)
    return {"rows": len(work.prepared.splits["train"]), "arms": arms}


def _differences(plan: Plan, metric: str, mine: list[Answers], theirs: list[Answers]) -> dict[str, Difference]:
    """The run minus an arm, on earlier data and on its own."""
    made, asked = METRICS.make(metric), plan.evaluate
    pairs = list(zip(mine, theirs, strict=True))
    how: dict[str, Any] = {"resamples": asked.resamples, "seed": plan.train.seed, "level": asked.level}
    return {"earlier": paired_mean(made, pairs[:-1], **how),
            "here": paired_bootstrap(made, *pairs[-1], **how, groups=mine[-1].groups)}  # fmt: skip


def _told(found: Difference) -> dict[str, Any]:
    known = {k: getattr(found, k) for k in ("value", "low", "high")}
    known = {k: float(v) if v is not None and np.isfinite(v) else None for k, v in known.items()}
    return {"difference": known, "p": None if known["value"] is None else found.p}


def _plain(work: Work) -> Arm:
    return Arm(_bare(work), work.found, work.prepared.new)


def _joint(work: Work, model: Model, tests: Sequence[Sequence[Record]]) -> Arm:
    """New rows and every old one that nobody is judged on."""
    base, new = _first_base(work.plan), work.prepared.new
    old, roles = old_rows(model, work.before), work.prepared.roles
    held = [*tests, *(rows for name, rows in work.prepared.splits.items() if name != "train")]
    for rows in held:
        twin = shared(inputs(rows, roles), inputs(old, roles))
        old = chosen(old, np.flatnonzero(twin < 0))
    return Arm(_bare(work).model_copy(update={"base": base}), base.found(), joined([new, old]), len(old))


def _bare(work: Work) -> Plan:
    """The plan without what remembers; epochs as many as the run has, however many rows there are."""
    plan = work.plan
    kept = tuple(each for each in plan.penalties if not each.remembers)
    train = plan.train.model_copy(update={"epochs": plan.epochs(len(work.prepared.splits["train"]))})
    return plan.model_copy(update={"penalties": kept, "train": train, "replay": Replay()})


def _first_base(plan: Plan) -> Base:
    """What the first instalment began from, as it was asked for there, cut or taken as this plan asks."""
    base, found = plan.base, plan.base.found()
    while (found.folder / CARD).is_file():
        told, _, card = read_card(found.folder)
        try:
            base, found = told.base, told.base.found()
        except TunesmithError as error:
            raise _gone(plan, f"{told.base.name} is not here ({error})") from error
        if found.digest != card["base"]["digest"]:
            raise _gone(plan, f"{told.base.name} is no longer what it was then")
    asked = {name: value for name in ("layers", "quant", "rope") if (value := getattr(plan.base, name)) is not None}
    return base.model_copy(update=asked)


def _gone(plan: Plan, why: str) -> TunesmithError:
    return TunesmithError(
        f"replay.beside: joint begins from the base that {plan.base.name} was tuned from, and {why}. Put it back, or "
        "remove joint"
    )


def _trained(work: Work, model: Model, arm: Arm, name: str) -> Model:
    """The arm's model, with the labels of the run; training goes on where it was stopped."""
    work.progress.say(f"training {name}, to compare with (replay.beside): {len(arm.rows)} rows")
    own = replace(work, found=arm.base)
    processor = model.tokenizer if arm.base is work.found else arm.plan.task.processor(arm.base)
    other = fresh(own, arm.plan, model.facts, processor, sight_of(arm.plan))
    roles = work.prepared.roles
    train, held = (other.encode(rows, roles) for rows in (arm.rows, work.prepared.splits["validation"]))
    trained(own, other, train, held, work.run.path / FOLDER / name)
    return decide(other, held)


def _all_old(work: Work) -> int | None:
    """How many training rows the earlier instalments had; None where that is not known."""
    counts = [count for count in work.before.learnt if count is not None]
    return sum(counts) if len(counts) == len(work.before.names) else None

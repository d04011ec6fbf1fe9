"""What the parts of a job share, and what several of them do: a network made ready, trained, and given thresholds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import earlier, instalments
from tunesmith.bases.find import Found
from tunesmith.engine.tower import Sight
from tunesmith.evaluation.choose import Choose
from tunesmith.evaluation.judge import Judge
from tunesmith.model import Model, build
from tunesmith.plan import Plan
from tunesmith.prepared import Prepared
from tunesmith.progress import Progress, Stop
from tunesmith.reference import start_from
from tunesmith.run import Run
from tunesmith.tasks import Encoded, Facts
from tunesmith.training.checkpoint import State


@dataclass
class Work:
    """What the parts of a job share."""

    run: Run
    prepared: Prepared
    found: Found
    progress: Progress
    stop: Stop
    began: float
    warnings: list[str]
    before: earlier.Earlier = earlier.NOTHING
    lessons: Encoded | None = None
    """What the loop learns from."""

    @property
    def plan(self) -> Plan:
        return self.prepared.plan


def fresh(work: Work, plan: Plan, facts: Facts, tokenizer: Any, sight: Sight | None = None) -> Model:
    """A network ready to be trained."""
    model = build(plan, facts, work.found, tokenizer, sight)
    if plan.method.start:
        start_from(model, plan.method.start)
    if plan.train.dropout is not None:
        from tunesmith.engine.network import override_dropout

        override_dropout(model.net, plan.train.dropout)
    return model


def trained(work: Work, model: Model, train: Encoded, held: Encoded, folder: Path, **more: Any) -> State:
    """Train a network on these rows, or go on training it in that folder; `more` is for `training.given.Job`."""
    from tunesmith.training.given import Job
    from tunesmith.training.loop import Loop

    judge = Judge(model.plan, model.facts)
    job = Job(
        model, train, held, lambda logits: judge.quick(logits, held), folder, progress=work.progress, stop=work.stop,
        aids=instalments.aids(model, work.before, work.prepared.lessons), **more,
    )  # fmt: skip
    return Loop(job).run()


def decide(model: Model, validation: Encoded) -> Model:
    """The model with the decision thresholds that its validation rows suggest."""
    task = model.plan.task
    logits = model.outputs(validation)
    _, scores = task.answer(logits, model.facts)
    if scores is None:
        return model
    return model.with_facts(task.tuned(scores, task.truth(validation, model.facts), model.facts, Choose))

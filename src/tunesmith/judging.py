"""Judgement of one run: metrics with intervals, baselines beside them, paired tests, and what else is asked for."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from tunesmith import adapting, beside, instalments
from tunesmith.data.rows import ids
from tunesmith.engine.constrained import Account
from tunesmith.engine.tower import sight_of
from tunesmith.evaluation import compared, robustness
from tunesmith.evaluation.judge import Judge, answers_of, better, with_questions
from tunesmith.evaluation.structure import structure
from tunesmith.metrics import Answers
from tunesmith.model import Model, untuned
from tunesmith.tasks import Encoded
from tunesmith.tasks._zero_shot import Classified
from tunesmith.together import Whole, together
from tunesmith.work import Work, decide, fresh, trained


def judge(work: Work, model: Model, encoded: dict[str, Encoded]) -> dict[str, Any]:
    """Metrics with intervals on validation and test, baselines beside them, paired tests between the two."""
    by, account = Judge(work.plan, model.facts), Account()
    logits = {name: model.outputs(e) for name, e in encoded.items() if name != "train"}
    main = "test" if "test" in logits else "validation"
    answers = _answers(work, model, encoded, logits, main, account)
    work.progress.say("judging: intervals and baselines")
    apart = _Apart(work, model, encoded) if work.plan.task.two_domains else None
    trained = {} if apart is None else {"source": apart.source_alone}
    trained |= {name: partial(_part_alone, work, model, encoded, name) for name in work.plan.alone}
    baselines = compared.baselines(work.plan, work.prepared, model, encoded, answers, trained)
    if work.plan.task.writes:
        for name, each in baselines.items():
            texts = _written(work, untuned(model), main, f"writing answers, {name}")
            baselines[name] = each | {main: replace(each[main], predicted=texts)}
    work.stop.check("before the results were written")
    results = {
        "metrics": {name: by.full(each, written=name == main) for name, each in answers.items()},
        "baselines": {
            b: {s: by.full(a, written=s == main) for s, a in found.items()} for b, found in baselines.items()
        },
        "paired": compared.paired(by, answers[main], {b: f[main] for b, f in baselines.items()}, main),
        "slices": _slices(work, by, answers[main], main),
        "without_leaks": _without_leaks(work, by, answers, main),
        "better": better(work.plan.metric_names),
        "level": work.plan.evaluate.level,
        "main": work.plan.metric_names[0],
        "signatures": by.signatures(answers[main]),
        "structure": structure(model, work.prepared.splits[main], answers[main], account, work.progress),
    }
    results |= _further(work, model, encoded, answers[main], main)
    if apart is not None:
        results["domains"] = apart.measured()
    return {"tables": results, "answers": answers, "logits": logits}


def _answers(
    work: Work, model: Model, encoded: dict[str, Encoded], logits: dict[str, Any], main: str, account: Account
) -> dict[str, Answers]:
    """What the model answers to the rows of each split; of tasks that write, with the texts of the main one."""
    task, rows = work.plan.task, work.prepared.splits
    answers = {name: answers_of(task, values, encoded[name], model.facts) for name, values in logits.items()}
    if task.writes:
        answers = {n: with_questions(a, work.plan, rows[n], rows["train"]) for n, a in answers.items()}
        texts = _written(work, model, main, "writing answers", account)
        answers[main] = replace(answers[main], predicted=texts)
    return answers


def _further(work: Work, model: Model, encoded: dict[str, Encoded], answers: Answers, main: str) -> dict[str, Any]:
    """What else a plan asks to be told: tasks beside each of them alone, classes that were not taught, perturbed
    copies of the rows, what is still known of earlier instalments and of language in general."""
    plan, found = work.plan, {}
    whole = Whole(model, work.prepared, encoded, answers, main, work.run.path, decide, work.progress, work.stop)
    if (each := together(whole)) is not None:
        found["together"] = each
    if (asked := plan.task.classified(work.prepared.splits[main], model.tokenizer)) is not None:
        found["zero_shot"] = _zero_shot(work, model, asked)
    if plan.evaluate.robustness:
        rows = work.prepared.splits[main]
        found["robustness"] = robustness.measured(model, rows, answers, main, work.progress)
    if work.before.tests or plan.replay.keep:
        work.progress.say("judging: what it knows of earlier instalments")
        own = instalments.own_test(work.prepared.splits, plan.replay.keep or len(work.before.tests[-1]))
        found["instalments"] = instalments.judged(model, work.before, own, work.run.path.name)
        if plan.replay.beside:
            found["beside"] = beside.measured(work, model, own, found["instalments"])
    if plan.task.talks and plan.task.kind == "text" and plan.evaluate.forgetting:
        found["forgetting"] = _forgotten(work, model)
    return found


class _Apart:
    """Two domains beside each other: a model of the source alone, and how far they are apart in each model."""

    def __init__(self, work: Work, model: Model, encoded: dict[str, Encoded]) -> None:
        assert work.lessons is not None
        self.work, self.model, self.encoded, self.lessons = work, model, encoded, work.lessons
        given = isinstance(work.plan.data.test, str)
        self.rows = adapting.domains(encoded["validation"], self.lessons, encoded["test"] if given else None)
        self.found: dict[str, Any] = {"rows": len(self.rows[1]), "target": "test" if given else "training"}
        self.found["after"] = self._distance(model)
        self.other: Model | None = fresh(work, adapting.source_plan(work.plan), model.facts, model.tokenizer)
        self.found["before"] = self._distance(self.other)

    def _distance(self, model: Model) -> dict[str, float | None]:
        held, own, strange, theirs = self.rows
        parts = adapting.states(model, held, own), adapting.states(model, strange, theirs)
        return adapting.distance(*parts, self.work.plan.train.seed, self.work.plan.evaluate.level)

    def source_alone(self) -> compared.Made:
        """Train on the source for as many steps, and answer every held-out row."""
        other, held = self.other, self.encoded["validation"]
        assert other is not None
        self.work.progress.say("training on the source alone, to compare with (evaluate.baselines)")
        rows = adapting.source_alone(self.lessons)
        trained(self.work, other, rows, held, self.work.run.path / "source_alone")
        other = decide(other, held)
        self.found["source"] = self._distance(other)
        return _held_out(other, self.encoded)

    def measured(self) -> dict[str, Any]:
        """For metrics.json."""
        return self.found


def _part_alone(work: Work, model: Model, encoded: dict[str, Encoded], name: str) -> compared.Made:
    """One of several methods by itself: trained on the same rows with the same seed, it answers every held-out row."""
    assert work.lessons is not None
    work.progress.say(f"training {name}, to compare with (evaluate.baselines)")
    plan = work.plan.model_copy(update={"method": work.plan.alone[name]})
    other = fresh(work, plan, model.facts, model.tokenizer, sight_of(plan))
    trained(work, other, work.lessons, encoded["validation"], work.run.path / "parts" / name.removesuffix(" alone"))
    return _held_out(decide(other, encoded["validation"]), encoded)


def _held_out(model: Model, encoded: dict[str, Encoded]) -> compared.Made:
    """Answers to all rows that were not learnt from, by split."""
    outputs = {name: model.outputs(e) for name, e in encoded.items() if name != "train"}
    return {name: model.plan.task.answer(each, model.facts) for name, each in outputs.items()}


def _forgotten(work: Work, model: Model) -> dict[str, Any]:
    """The loss on general text before and after; a warning where it rose."""
    from tunesmith.evaluation import forgetting

    work.progress.say("judging: what it forgot of general text")
    found = forgetting.measure(model, untuned(model), work.plan.evaluate.forgetting)
    if text := forgetting.warning(found):
        work.warnings.append(text)
        work.progress.say(f"warning: {text}")
    return found


def _zero_shot(work: Work, model: Model, asked: Classified) -> dict[str, Any]:
    """Accuracy on classes that were not taught, before and after; a warning where it fell."""
    from tunesmith.evaluation import zero_shot

    work.progress.say(f"judging: {len(asked.labels)} classes by their names, before and after")
    found = zero_shot.measure(work.plan, asked, untuned(model), model)
    if text := zero_shot.warning(found):
        work.warnings.append(text)
        work.progress.say(f"warning: {text}")
    return found


def _written(work: Work, model: Model, split: str, what: str, account: Account | None = None) -> Any:
    rows = work.prepared.splits[split]
    with work.progress.bar(what, len(rows), "rows") as bar:
        return model.write(rows, tick=bar.advance, account=account)


def _slices(work: Work, by: Judge, answers: Answers, split: str) -> dict[str, Any]:
    rows = work.prepared.splits[split]
    out = {}
    for column in work.plan.evaluate.slices:
        out[column] = by.slices(answers, [r.cells.get(column) for r in rows])
    return out


def _without_leaks(work: Work, by: Judge, answers: dict[str, Answers], main: str) -> dict[str, Any]:
    """For metrics.json, of each held-out split: {rows, left_out, metrics} of the rows that have no near twin among
    those that were learnt from, without `metrics` where none or all leak; or {skipped: why} where it is not known."""
    leaks, found = work.prepared.leaks, dict[str, Any]()
    for name, each in answers.items():
        known = ids(work.prepared.splits[name])
        if leaks.skipped or each.rows != len(known):
            found[name] = {"skipped": leaks.skipped or "an answer of this task is not one of a row"}
            continue
        stays = ~np.isin(known, leaks.splits[name].held)
        found[name] = {"rows": int(stays.sum()), "left_out": int((~stays).sum())}
        if 0 < stays.sum() < len(stays):
            found[name]["metrics"] = by.full(each.take(stays), written=name == main)
    return found

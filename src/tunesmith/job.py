"""The job of one run: facts, training, judgement, saving, proof. Each part can be repeated, so a kill costs little."""

import platform
import resource
import sys
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith import adapting, earlier, instalments, scratch
from tunesmith.bases.find import Found
from tunesmith.bases.fit import SAMPLE, fit
from tunesmith.checking import findings_in, special_tokens
from tunesmith.data.roles import find_column, text_of
from tunesmith.data.rows import ids
from tunesmith.data.spread import Spread
from tunesmith.engine.constrained import Account
from tunesmith.engine.tower import Sight, sight_of
from tunesmith.evaluation import compared
from tunesmith.evaluation.choose import Choose
from tunesmith.evaluation.judge import Judge, answers_of, better, with_questions
from tunesmith.evaluation.structure import structure
from tunesmith.files import digest_bytes, digest_file, read_json, write_folder, write_json, write_text
from tunesmith.metrics import Answers
from tunesmith.mining import mine, told
from tunesmith.model import Model, build, ecosystem, facts_for, kept, rows_for_golden, save, untuned
from tunesmith.plan import Plan
from tunesmith.plan_text import dump_plan
from tunesmith.prepare import Prepared
from tunesmith.progress import Progress, Stop
from tunesmith.reference import refer, start_from
from tunesmith.run import Run
from tunesmith.tasks import Encoded, Facts
from tunesmith.tasks._zero_shot import Classified
from tunesmith.together import Whole, together
from tunesmith.training.checkpoint import State

WATT_PER_CORE = 10.0
"""Assumed draw of a busy core; the energy figure is an estimate and says so."""
CONVERSATIONAL = ("format", "template")
"""Facts that are told of every run on conversations, and are nothing to be warned of."""


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


def carry_out(
    run: Run, prepared: Prepared, found: Found, progress: Progress, stop: Stop, began: float
) -> dict[str, Any]:
    """Do the whole job in a claimed run folder; returns the reply of `train`."""
    before = earlier.earlier_in(found.folder, found.name)
    work = Work(run, prepared, found, progress, stop, began, list(prepared.notes), before)
    model, encoded = begin(work)
    resumed = (run.path / "checkpoints").is_dir() and any((run.path / "checkpoints").glob("step-*"))
    state = learn(work, model, encoded)
    model = decide(model, encoded["validation"])
    results = judge(work, model, encoded)
    keep(work, model, encoded, results, state)
    from tunesmith.prove import prove_apart

    progress.say("proving: a fresh process opens the model and must answer the same")
    proof = prove_apart(run)
    reply = _reply(work, model, results, state, proof, "resumed" if resumed else "done")
    _provenance(work, model, state, proof, reply)
    from tunesmith.evaluation.card import write_card
    from tunesmith.evaluation.report import write_report

    write_report(run.path)
    write_card(run.path)
    return reply


def begin(work: Work) -> tuple[Model, dict[str, Encoded]]:
    """Facts, tokens and a fresh network; everything known of the data is written down before training."""
    plan, prepared = work.plan, work.prepared
    tokenizer = plan.task.processor(work.found)
    facts = facts_for(plan, prepared.splits["train"], prepared.roles, work.found, tokenizer)
    _refuse_unmeasurable(work, facts)
    if facts.wording is not None:
        work.progress.say(f"label words as {work.found.name} reads them: {'; '.join(facts.wording.spelt)}")
    _tell(work, facts)
    sight = sight_of(plan)
    encoded = encode(prepared, tokenizer, facts, work.progress, sight)
    work.warnings += [note for note in prepared.notes if note not in work.warnings]
    _write_data(work, tokenizer, encoded, facts)
    model = _fresh(work, plan, facts, tokenizer, sight)
    refer(model, encoded, work.progress)
    if (found := mine(model, encoded["train"], work.progress)) is not None:
        about = read_json(file := work.run.file("data.json"))
        write_json(file, about | {"mined": found, "notes": [*about["notes"], told(found)]})
    work.lessons = adapting.lessons(model, prepared, encoded["train"])
    work.warnings += adapting.notes(plan, work.lessons)
    return model, encoded


def _refuse_unmeasurable(work: Work, facts: Facts) -> None:
    """What could not be measured in the end is refused before anything is trained: metrics of two classes where there
    are more, slices by a column that is not there."""
    assert Judge(work.plan, facts).metrics
    splits = work.prepared.splits
    for row in splits.get("test", splits["validation"])[:1]:
        for column in work.plan.evaluate.slices:
            find_column(column, tuple(row.cells), "evaluate.slices")


def _fresh(work: Work, plan: Plan, facts: Facts, tokenizer: Any, sight: "Sight | None" = None) -> Model:
    """A network ready to be trained."""
    model = build(plan, facts, work.found, tokenizer, sight)
    if plan.method.start:
        start_from(model, plan.method.start)
    if plan.train.dropout is not None:
        from tunesmith.engine.network import override_dropout

        override_dropout(model.net, plan.train.dropout)
    return model


def _tell(work: Work, facts: Facts) -> None:
    """What was noticed while the data were studied: how they were understood, and, of images, what is left out."""
    for what, note in facts.notes.items():
        if what.startswith("augment"):
            work.warnings.append(note)
            work.progress.say(f"warning: {note}")
        elif what in CONVERSATIONAL:
            work.progress.say(note)
        elif work.plan.task.kind == "vectors" or what == "instalment":
            work.prepared.notes.append(f"{what}: {note}")
            work.progress.say(note)


def encode(
    prepared: Prepared, tokenizer: Any, facts: Facts, progress: Progress, sight: Sight | None = None
) -> dict[str, Encoded]:
    """All splits as tokens; what is cut off goes into the ledger."""
    encoded, task = {}, prepared.plan.task
    with progress.long(
        "reading files" if prepared.roles.file else "tokenising", sum(map(len, prepared.splits.values())), "rows"
    ) as bar:
        for name, rows in prepared.splits.items():
            encoded[name] = task.encode(rows, prepared.roles, tokenizer, facts, tick=bar.advance)
            if sight is not None:
                encoded[name] = sight.look(encoded[name], rows, prepared.roles)
            if several := sum(len(answers) > 1 for answers in encoded[name].references or ()):
                what = "rows with several right answers: the first is learnt, texts are compared with all"
                prepared.ledger.changed("references", what, several)
            lost, labels, known = encoded[name].lost, encoded[name].lost_labels, ids(rows)
            for i in scratch.where(lost > 0).tolist():
                prepared.ledger.truncated(int(known[i]), int(lost[i]), 0 if labels is None else int(labels[i]))
            if labels is not None and labels.any():
                note = ends_cut(encoded[name])
                prepared.notes.append(f"{name}: {note}")
                progress.say(f"warning: {name}: {note}")
            prepared.notes += [f"{name}: {note}" for note in encoded[name].notes]
    return encoded


def ends_cut(encoded: Encoded) -> str:
    """How much of what was to be learnt is beyond the limit, and the limit that would keep it."""
    each = encoded if encoded.inner is None else encoded.inner
    assert each.lost_labels is not None and each.lost is not None, "asked of rows that are learnt from"
    short, lost = each.lost_labels > 0, int(each.lost_labels.sum(dtype=np.int64))
    return (
        f"{int(short.sum())} of {len(each)} texts are cut before their end: {lost} tokens that were to be learnt are "
        f"lost. task.max_tokens={int((each.lengths + each.lost)[short].max())} would keep all"
    )


def _write_data(work: Work, tokenizer: Any, encoded: dict[str, Encoded], facts: Facts) -> None:
    prepared, run = work.prepared, work.run
    lengths = Spread.of(e.lengths for e in encoded.values())
    rows = prepared.splits["train"]
    some = rows[:: max(1, len(rows) // SAMPLE)][:SAMPLE]
    texts = [] if prepared.roles.wordless else [text_of(r, prepared.roles.texts[0]) for r in some]
    fits = fit(tokenizer, texts)
    if warning := fits.warning(work.plan.base.name, writes=work.plan.task.talks):
        work.warnings.append(warning)
        work.progress.say(f"warning: {warning}")
    tokens = {
        "median": lengths.at(0.5), "p95": lengths.at(0.95), "max": lengths.largest,
        "truncated_rows": sum(int(np.count_nonzero(e.lost)) for e in encoded.values()),
        "tokens_lost": sum(int(e.lost.sum(dtype=np.int64)) for e in encoded.values()),
        "unknown_share": fits.unknown_share, "pieces_per_word": fits.pieces_per_word,
    }  # fmt: skip
    findings = findings_in(prepared.splits["train"], prepared.roles, work.plan.task)
    if special := special_tokens(prepared.splits["train"], prepared.roles, tokenizer, work.plan.task):
        findings.append(special)
        work.progress.say(f"{special['rows']} rows: {special['remedy']}")
    about = prepared.about() | {"tokens": tokens, "findings": findings}
    about["notes"] = [*(facts.notes[what] for what in CONVERSATIONAL if what in facts.notes), *prepared.notes]
    write_json(run.file("data.json"), about)
    write_json(run.file("facts.json"), facts.model_dump(mode="json"))
    write_text(run.plan, dump_plan(work.plan.anchored()))
    prepared.ledger.to_parquet(run.file("ledger.parquet"))


def learn(work: Work, model: Model, encoded: dict[str, Encoded]) -> State:
    """Train, or go on training, or take the finished training up again."""
    from tunesmith.training.log import logger

    assert work.lessons is not None, "a job begins with what is learnt"
    log = logger(work.plan.train.log, work.run.path)
    state = _trained(work, model, work.lessons, encoded["validation"], work.run.path, log=log)
    work.warnings += [w for w in state.warnings if w not in work.warnings]
    return state


def _trained(work: Work, model: Model, train: Encoded, held: Encoded, folder: Path, **more: Any) -> State:
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
    """What else a plan asks to be told: tasks beside each of them alone, classes that were not taught, what is still
    known of earlier instalments and of language in general."""
    plan, found = work.plan, {}
    whole = Whole(model, work.prepared, encoded, answers, main, work.run.path, decide, work.progress, work.stop)
    if (beside := together(whole)) is not None:
        found["together"] = beside
    if (asked := plan.task.classified(work.prepared.splits[main], model.tokenizer)) is not None:
        found["zero_shot"] = _zero_shot(work, model, asked)
    if work.before.tests or plan.replay.keep:
        work.progress.say("judging: what it knows of earlier instalments")
        own = instalments.own_test(work.prepared.splits, plan.replay.keep or len(work.before.tests[-1]))
        found["instalments"] = instalments.judged(model, work.before, own, work.run.path.name)
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
        self.other: Model | None = _fresh(work, adapting.source_plan(work.plan), model.facts, model.tokenizer)
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
        _trained(self.work, other, rows, held, self.work.run.path / "source_alone")
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
    other = _fresh(work, plan, model.facts, model.tokenizer, sight_of(plan))
    _trained(work, other, work.lessons, encoded["validation"], work.run.path / "parts" / name.removesuffix(" alone"))
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


def keep(work: Work, model: Model, encoded: dict[str, Encoded], results: dict[str, Any], state: State) -> None:
    """Write the model, the golden batch, predictions, metrics and what the method learnt."""
    from tunesmith.evaluation.predictions import write_predictions
    from tunesmith.golden import write_golden

    run = work.run
    write_folder(run.model, lambda folder: _fill(work, model, folder, results["tables"]))
    split = "validation"
    chosen = rows_for_golden(encoded[split])
    records = [work.prepared.splits[split][i] for i in chosen]
    write_golden(run.file("golden"), model, encoded[split], chosen, records)
    write_predictions(run.file("predictions.parquet"), model, work.prepared, results["answers"])
    write_json(run.file("metrics.json"), results["tables"])
    if work.plan.task.sees and work.plan.task.kind == "classes":
        from tunesmith.evaluation.pictures import drawn

        shown = "test" if "test" in results["answers"] else "validation"
        rows, seen = work.prepared.splits[shown], encoded[shown]
        write_json(run.file("pictures.json"), drawn(model, rows, seen, encoded["train"], results["answers"][shown]))
    write_json(run.file("facts.json"), model.facts.model_dump(mode="json"))
    found = (half.method.learnt(half.auto, half.family, model.tokenizer) for half in model.halves)
    learnt = [asdict(each) for part in found for each in part]
    write_json(run.file("learnt.json"), learnt)
    write_json(run.file("warnings.json"), work.warnings)


def _fill(work: Work, model: Model, folder: Path, tables: dict[str, Any]) -> None:
    """The model folder: the model, and the rows that it keeps for later instalments, if it is to."""
    save(model, folder)
    if count := work.plan.replay.keep:
        splits = work.prepared.splits
        own = instalments.own_test(splits, count)
        earlier.keep(folder, count, splits["train"], work.before, own, tables["instalments"])


def _reply(
    work: Work, model: Model, results: dict[str, Any], state: State, proof: dict[str, Any], status: str
) -> dict[str, Any]:
    from tunesmith.engine.network import count

    model.net.train()  # parameters are counted as they were trained
    tables = results["tables"]
    return {
        "run": str(work.run.path),
        "status": status,
        "metrics": tables["metrics"],
        "baselines": tables["baselines"],
        "paired": tables["paired"],
        "seconds": {
            "train": round(state.seconds, 3), "train_cpu": round(state.cpu_seconds, 3),
            "total": round(time.monotonic() - work.began, 3),
        },
        "memory_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "parameters": count(model.net),
        "weights_sha256": digest_weights(model),
        "golden_sha256": digest_file(work.run.file("golden") / "golden.safetensors"),
        "plan_sha256": digest_file(work.run.plan),
        "equality": "exact" if state.equality == "exact" else proof["equality"],
        "proof": proof,
        "warnings": work.warnings,
    }  # fmt: skip


def digest_weights(model: Model) -> str:
    """sha256 over names and bytes of everything that was trained."""
    raw = {name: p.detach().cpu().contiguous().numpy().tobytes() for name, p in kept(model).items()}
    parts = [f"{name}:{digest_bytes(content)}" for name, content in sorted(raw.items())]
    return digest_bytes("\n".join(parts).encode())


def _provenance(work: Work, model: Model, state: State, proof: dict[str, Any], reply: dict[str, Any]) -> None:
    from tunesmith.bases.quant import num_bytes
    from tunesmith.machine import machine, versions

    write_json(
        work.run.file("provenance.json"),
        {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": [a if i else "tunesmith" for i, a in enumerate(sys.argv)],
            "versions": versions() | {"python": platform.python_version()},
            "machine": machine(),
            "seconds": reply["seconds"],
            "memory_peak_mb": reply["memory_peak_mb"],
            "memory": state.memory,
            "energy_wh": round(state.cpu_seconds * WATT_PER_CORE / 3600, 3),
            "energy_basis": f"estimate: CPU seconds of training x {WATT_PER_CORE:g} W for a busy core",
            "parameters": reply["parameters"],
            "base": {
                "name": work.found.name,
                "public_name": work.found.public_name,
                "digest": work.found.digest,
                "quant": work.found.quant,
                "rope": work.found.rope and work.found.rope.model_dump(),
                "bytes": num_bytes(model.net),
            },
            "engine": model.shortcuts.said,
            "equality": reply["equality"],
            "weights_sha256": reply["weights_sha256"],
            "golden_sha256": reply["golden_sha256"],
            "seed": work.plan.train.seed,
            "best_step": state.best_step,
            "steps": state.step,
            "reason": state.reason,
            "ecosystem": ecosystem(work.plan, model.family),
            "proof": proof,
        },
    )

"""The job of one run: facts, training, judgement, saving, proof. Each part can be repeated, so a kill costs little."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith import adapting, beside, earlier, instalments, scratch
from tunesmith.bases.find import Found
from tunesmith.bases.fit import SAMPLE, fit
from tunesmith.checking import audit_in, findings_in, special_tokens
from tunesmith.checks.splits import drifts
from tunesmith.data.roles import find_column, text_of
from tunesmith.data.rows import ids
from tunesmith.data.spread import Spread
from tunesmith.engine.tower import Sight, sight_of
from tunesmith.errors import TunesmithError
from tunesmith.evaluation.judge import Judge
from tunesmith.files import read_json, write_folder, write_json, write_text
from tunesmith.judging import judge
from tunesmith.mining import mine, told
from tunesmith.model import Model, facts_for, rows_for_golden, save
from tunesmith.plan import Plan
from tunesmith.plan_text import dump_plan, read_plan
from tunesmith.prepared import Prepared
from tunesmith.progress import Progress, Stop
from tunesmith.provenance import provenance, reply
from tunesmith.reference import refer
from tunesmith.run import Run
from tunesmith.tasks import Encoded, Facts
from tunesmith.training.checkpoint import State
from tunesmith.work import Work, decide, fresh, trained

LOOKED_AT = 2000
"""Rows whose lengths are enough for a forecast before a run."""
CONVERSATIONAL = ("format", "template")
"""Facts that are told of every run on conversations, and are nothing to be warned of."""


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
    said = reply(work, model, results, state, proof, "resumed" if resumed else "done")
    provenance(work, model, state, proof, said)
    from tunesmith.evaluation.card import write_card
    from tunesmith.evaluation.report import write_report

    write_report(run.path)
    write_card(run.path)
    return said


def begin(work: Work) -> tuple[Model, dict[str, Encoded]]:
    """Facts, tokens and a fresh network; everything known of the data is written down before training."""
    known = study(work)
    if known.facts.wording is not None:
        work.progress.say(f"label words as {work.found.name} reads them: {'; '.join(known.facts.wording.spelt)}")
    settle(work, known)  # what is written down has it
    _write_data(work, known)
    return equip(work, known), known.encoded


@dataclass(frozen=True)
class Known:
    """What the rows are to a network: what every plan with the same task, base, data and seed shares."""

    tokenizer: Any
    facts: Facts
    encoded: dict[str, Encoded]
    sight: Sight | None


def study(work: Work) -> Known:
    """Facts and tokens of the prepared rows; refuses what could not be measured in the end."""
    plan, prepared = work.plan, work.prepared
    tokenizer = plan.task.processor(work.found)
    facts = facts_for(plan, prepared.splits["train"], prepared.roles, work.found, tokenizer)
    facts = facts.model_copy(update={"steps": prepared.learnt})
    _refuse_unmeasurable(work, facts)
    _tell(work, facts)
    sight = sight_of(plan)
    encoded = encode(prepared, tokenizer, facts, work.progress, sight)
    work.warnings += [note for note in prepared.notes if note not in work.warnings]
    return Known(tokenizer, facts, encoded, sight)


def equip(work: Work, known: Known) -> Model:
    """A fresh network, with what only a network can say of the rows before training: references, hard negatives."""
    settle(work, known)
    model = fresh(work, work.plan, known.facts, known.tokenizer, known.sight)
    refer(model, known.encoded, work.progress)
    if (found := mine(model, known.encoded["train"], work.progress)) is not None and work.run.file(
        "data.json"
    ).is_file():
        about = read_json(file := work.run.file("data.json"))
        write_json(file, about | {"mined": found, "notes": [*about["notes"], told(found)]})
    work.lessons = adapting.lessons(model, work.prepared, known.encoded["train"])
    work.warnings += adapting.notes(work.plan, work.lessons)
    return model


def settle(work: Work, known: Known) -> None:
    """Put into the plan what the memory that is free decides; a run which goes on is as it was. Raises TunesmithError
    where nothing would fit, before anything is loaded."""
    from tunesmith.training.ahead import look_ahead, settled, surely_fits

    plan = work.plan
    if plan.train.fit and work.run.plan.is_file():
        tokens = read_plan(work.run.plan).train.micro_tokens
        plan = plan.model_copy(update={"train": plan.train.model_copy(update={"micro_tokens": tokens, "fit": False})})
    elif plan.train.fit or not surely_fits(work.found):
        found = look_ahead(plan, known.facts, work.found, known.tokenizer, known.encoded["train"])
        if found is None and plan.train.fit:
            raise TunesmithError(
                "train.fit (or train.batch: auto): what fits is known before loading for bases of text with one stack "
                "of blocks alone. Set train.micro_tokens"
            )
        plan = plan if found is None else settled(found)
        if work.plan.train.fit:
            work.progress.say(f"train.fit: {plan.train.micro_tokens} tokens in a forward pass")
    work.prepared.plan = plan


def foresee(prepared: Prepared, found: Found) -> dict[str, Any]:
    """What a run of these rows will take, without loading a weight; of many rows some are looked at."""
    return foreseer(prepared, found)(prepared.plan)


def foreseer(prepared: Prepared, found: Found) -> Callable[[Plan], dict[str, Any]]:
    """`foresee` for plans on the same rows and base, which differ in how they learn: rows become tokens once for all
    that read as many of them."""
    from tunesmith.training.ahead import look_ahead, told

    rows = prepared.splits["train"]
    some = rows if len(rows) <= LOOKED_AT else rows[:: -(-len(rows) // LOOKED_AT)]
    held: dict[str, tuple[Any, Facts, Encoded]] = {}

    def foreseen(plan: Plan) -> dict[str, Any]:
        key = f"{plan.task.model_dump_json()} {plan.method.num_front()} {plan.method.extra_tokens()}"
        if key not in held:
            tokenizer = plan.task.processor(found)
            facts = facts_for(plan, rows, prepared.roles, found, tokenizer)
            held[key] = tokenizer, facts, plan.task.encode(some, prepared.roles, tokenizer, facts)
        tokenizer, facts, encoded = held[key]
        ahead = look_ahead(plan, facts, found, tokenizer, encoded)
        if ahead is None:
            return {"said": f"not known before {found.name} is loaded: only bases of text with one stack of blocks are"}
        return told(ahead, len(some) / max(1, len(rows)))

    return foreseen


def _refuse_unmeasurable(work: Work, facts: Facts) -> None:
    """What could not be measured in the end is refused before anything is trained: metrics of two classes where there
    are more, slices by a column that is not there, what an instalment is compared with."""
    assert Judge(work.plan, facts).metrics
    beside.check(work.plan, work.before)
    if "untuned" in (work.plan.evaluate.baselines or ()) and not work.plan.task.answers_before(facts):
        raise TunesmithError(
            f"evaluate.baselines: untuned: {work.found.name} answers {work.plan.task.name} with a head made for these "
            "rows, which says nothing before it is trained. Remove it"
        )
    splits = work.prepared.splits
    for row in splits.get("test", splits["validation"])[:1]:
        for column in work.plan.evaluate.slices:
            find_column(column, tuple(row.cells), "evaluate.slices")


def _tell(work: Work, facts: Facts) -> None:
    """What was noticed while the data were studied: how they were understood, and, of images, what is left out."""
    for what, note in facts.notes.items():
        if what.startswith("augment"):
            work.warnings.append(note)
            work.progress.say(f"warning: {note}")
        elif what in CONVERSATIONAL:
            work.progress.say(note)
        elif work.plan.task.kind == "vectors" or what == "instalment" or what.startswith("side column"):
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


def _write_data(work: Work, known: Known) -> None:
    prepared, run, tokenizer, encoded = work.prepared, work.run, known.tokenizer, known.encoded
    lengths = Spread.of(e.lengths for e in encoded.values())
    rows = prepared.splits["train"]
    some = rows[:: max(1, len(rows) // SAMPLE)][:SAMPLE]
    texts = [] if prepared.roles.wordless else [text_of(r, prepared.roles.texts[0]) for r in some]
    fits = fit(tokenizer, texts)
    if warning := fits.warning(work.plan.base.name, writes=work.plan.task.talks):
        work.warnings.append(warning)
        work.progress.say(f"warning: {warning}")
    tokens = {} if prepared.roles.wordless else {
        "median": lengths.at(0.5), "p95": lengths.at(0.95), "max": lengths.largest,
        "truncated_rows": sum(int(np.count_nonzero(e.lost)) for e in encoded.values()),
        "tokens_lost": sum(int(e.lost.sum(dtype=np.int64)) for e in encoded.values()),
        "unknown_share": fits.unknown_share, "pieces_per_word": fits.pieces_per_word,
    }  # fmt: skip
    findings = findings_in(prepared.splits["train"], prepared.roles, work.plan.task)
    if special := special_tokens(prepared.splits["train"], prepared.roles, tokenizer, work.plan.task):
        findings.append(special)
        work.progress.say(f"{special['rows']} rows: {special['remedy']}")
    held = {name: each for name, each in prepared.splits.items() if name != "train"}
    found = audit_in(work.plan.task, prepared.drawn, held, prepared.roles, work.plan.train.seed)
    findings += [each.as_json() for each in drifts(found, prepared.roles)]
    about = prepared.about() | {"tokens": tokens, "findings": findings, "alike": found.about()}
    about["notes"] = [
        *(known.facts.notes[what] for what in CONVERSATIONAL if what in known.facts.notes),
        *prepared.notes,
    ]
    write_json(run.file("data.json"), about)
    write_json(run.file("facts.json"), known.facts.model_dump(mode="json"))
    write_text(run.plan, dump_plan(work.plan.anchored()))
    prepared.ledger.to_parquet(run.file("ledger.parquet"))


def learn(work: Work, model: Model, encoded: dict[str, Encoded]) -> State:
    """Train, or go on training, or take the finished training up again."""
    from tunesmith.training.log import logger

    assert work.lessons is not None, "a job begins with what is learnt"
    log = logger(work.plan.train.log, work.run.path)
    state = trained(work, model, work.lessons, encoded["validation"], work.run.path, log=log)
    work.warnings += [w for w in state.warnings if w not in work.warnings]
    return state


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
        learnt = [*work.before.learnt, len(set(ids(work.prepared.new).tolist()))]
        matrix = {**tables["instalments"], "file": work.prepared.roles.file, "learnt": learnt}
        earlier.keep(folder, count, splits["train"], work.before, own, matrix)

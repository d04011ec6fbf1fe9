"""Prepare: a plan's files -> rows in splits, each input row accounted for.

Order: read, steps on every row, steps on the training pool, split, overlap between splits, steps that learn from the
training split, steps on every split, steps on the training split.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, cast

import numpy as np

from tunesmith import prepared, scratch
from tunesmith.data import Record, Roles, kept, leaks
from tunesmith.data.alike import Digests, first_alike
from tunesmith.data.coded import Coded, coded
from tunesmith.data.format import counted
from tunesmith.data.leaks import Leaks
from tunesmith.data.ledger import Ledger
from tunesmith.data.overlap import inputs, label_twins, rows_shown, shared, twins
from tunesmith.data.rows import Index, chosen, ids, joined
from tunesmith.data.split import divided, often, rarest_of, strata_of
from tunesmith.data.table import Table, read
from tunesmith.earlier import NOTHING, Earlier, located, replayed
from tunesmith.errors import TunesmithError
from tunesmith.plan import Plan
from tunesmith.prepared import BARE, LEARNT, SPLITS, Learnt, Prepared, key_of
from tunesmith.progress import LONG, Progress, part
from tunesmith.tasks import Task

_MUCH = 10**9
"""Bytes that a step may hold in memory before the user is told."""


def prepare(
    plan: Plan, progress: Progress | None = None, before: Earlier = NOTHING, *, learn: bool = True, again: bool = True
) -> Prepared:
    """Read, clean, divide and check the data of a plan. Deterministic in the files, `plan.train.seed`, and in what the
    base kept of the instalments `before`. `learn`: whether the rows will be learnt from; steps on the training split
    are left out where only held-out rows are wanted. `again`: what took long is kept, and found again."""
    progress, began = progress or Progress(silent=True), time.monotonic()
    keeps = again and plan.data.cache and not plan.replay.rows and before.rows is None and not before.tests
    if keeps and kept.held() and (key := key_of(plan, learn=learn)) and (folder := kept.look(key)):
        progress.say("prepared rows: from cache, nothing that they depend on differs (data.cache: false prepares anew)")
        return prepared.read(plan, folder)
    with progress.part("preparing"):
        done = _prepared(plan, progress, before, learn=learn)
    long = done.roles.file is None and time.monotonic() - began >= kept.SECONDS
    if keeps and long and (key := key_of(plan, learn=learn, content=done.digests)):
        progress.say(kept.keep(key, lambda folder: prepared.write(done, folder)))
    return done


def _prepared(plan: Plan, progress: Progress, before: Earlier, *, learn: bool) -> Prepared:
    ledger = Ledger()
    tables: list[Table] = []
    plan, raw = _read_all(plan, tables, ledger, progress)
    first = len(ledger)
    if plan.replay.rows:
        tables.append(_old_rows(plan, before, progress))
        raw["replay", ""] = [ledger.add(tables[-1])]
    replayed = range(first, len(ledger))
    tables += [read(name, progress=progress) for name in plan.task.files()]
    if text := plan.task.objection(plan):  # of what is known now that the columns are
        raise TunesmithError(f"task: {text}")
    roles = plan.task.roles()
    roles = replace(roles, group=plan.data.group or roles.group)
    taken: dict[str, list[Sequence[Record]]] = {}
    for (name, strand), rows in raw.items():
        taken.setdefault(name, []).append(plan.task.taken_in_for(strand, joined(rows), ledger))
    pools = {name: joined(each) for name, each in taken.items()}
    notes = _held(plan, len(ledger), progress)
    if len(ledger) >= LONG:
        progress.say(f"preparing {len(ledger)} rows: {', '.join(step.name for step in plan.steps)}, split, overlap")
    splits, own, near, learnt = _divide(plan, roles, pools, before, ledger, notes)
    drawn = splits["train"]
    if learn:
        splits["train"] = run_steps(plan, "train", splits["train"], roles, ledger)
    files = [{"name": t.source, "sha256": t.sha256, "rows": len(t.rows) + len(t.bad), "notes": list(t.notes)}
             for t in tables]  # fmt: skip
    return Prepared(plan, roles, splits, ledger, files, notes, own, splits.pop(BARE, ()), near, drawn, learnt, replayed)


def _joining(
    plan: Plan, roles: Roles, rows: Sequence[Record], ledger: Ledger
) -> tuple[Sequence[Record], Sequence[Record]]:
    """Rows of the task's own files with a label and without one, each after the steps that look at a whole file."""
    if not rows:
        return (), ()
    has = np.fromiter((plan.task.has_label(r, roles) for r in rows), np.bool_, len(rows))
    own, bare = (chosen(rows, scratch.where(which)) for which in (has, ~has))
    bare = run_steps(plan, "pool", bare, replace(roles, label=None), ledger)
    return run_steps(plan, "pool", own, roles, ledger), bare


def _read_all(
    plan: Plan, tables: list[Table], ledger: Ledger, progress: Progress
) -> tuple[Plan, dict[tuple[str, str], list[Sequence[Record]]]]:
    """(the plan with columns named, rows by split and task); files go into `tables`, their rows into the ledger."""
    opened: dict[str, Table] = {}
    raw: dict[tuple[str, str], list[Sequence[Record]]] = {}
    first: dict[str, Table] = {}
    for each in plan.task.readings(plan.data):
        table = opened.get(each.file) if each.part else None
        table = opened[each.file] = table or read(each.file, plan.data.format, progress=progress)
        if each.part:  # a row of several tasks is accounted for in each
            table = replace(table, source=f"{table.source} [{each.part}]")
        if each.split == "train":
            first.setdefault(each.part, table)
        raw.setdefault((each.split, each.part), []).append(ledger.add(table, weight=each.weight))
        tables.append(table)
    return plan.model_copy(update={"task": plan.task.resolved_by(first)}), raw


def _old_rows(plan: Plan, before: Earlier, progress: Progress) -> Table:
    if plan.replay.file is not None:
        return read(plan.replay.file, plan.data.format, progress=progress)
    if before.rows is None:
        raise TunesmithError(
            f"replay.share: base {plan.base.name} kept no rows to replay. Give them as replay.file, or make the base "
            "anew with replay.keep: 200"
        )
    table = read(str(before.rows), progress=progress)
    return replace(
        table, source=before.kept_source, rows=[(line, located(cells, before)) for line, cells in table.rows]
    )


def _divide(
    plan: Plan, roles: Roles, pools: dict[str, Sequence[Record]], before: Earlier, ledger: Ledger, notes: list[str]
) -> tuple[dict[str, Sequence[Record]], Index, Leaks, Learnt]:
    pools = {name: run_steps(plan, "every_row", rows, roles, ledger) for name, rows in pools.items()}
    pool, old = run_steps(plan, "pool", pools.pop("train"), roles, ledger), pools.pop("replay", ())
    own, bare = _joining(plan, roles, pools.pop("joining", ()), ledger)
    _tell_labels(plan.task, pool, roles, notes)
    splits = _split(plan, pool, roles)
    for name, rows in pools.items():
        splits[name] = joined([splits[name], rows]) if splits.get(name) else rows
    splits = {name: splits[name] for name in SPLITS if splits.get(name)}
    splits |= {"train": joined([splits["train"], own])} if own else {}
    splits |= {BARE: bare} if bare else {}
    if old:
        splits["train"] = _with_old(plan, splits["train"], old, ledger, notes)
    _part(plan, roles, splits, ledger, notes)
    for number, again in enumerate(before.tests):
        _keep_out(splits, roles, again, f"the held-out rows of instalment {number + 1}", ledger, notes)
    if learnt := _learn(plan, roles, splits, ledger):  # what was told apart by a number may be one now
        _part(plan, roles, splits, ledger, notes)
    near = _near(plan, roles, splits, ledger, notes)
    for name, rows in splits.items():
        if name not in LEARNT:
            ledger.place(rows, name)  # type: ignore[arg-type]
    for name in LEARNT:
        ledger.place(splits.get(name, ()), "train")
    for task, each, told in _each_task(plan.task, {n: rows for n, rows in splits.items() if n != BARE}, roles):
        _tell_strangers(task, each, told, notes)
    unlabelled = replace(roles, label=None)
    splits = {
        name: run_steps(plan, "split", rows, unlabelled if name == BARE else roles, ledger)
        for name, rows in splits.items()
    }
    return splits, ids(own), near, learnt


def _with_old(
    plan: Plan, new: Sequence[Record], old: Sequence[Record], ledger: Ledger, notes: list[str]
) -> Sequence[Record]:
    """Training rows with replayed ones among them."""
    assert plan.replay.share is not None, "rows are replayed"
    wanted = replayed(len(old), plan.replay.share, len(new), plan.train.seed)
    numbers = ids(old)
    for row in sorted(set(range(len(old))) - set(wanted)):
        ledger.mark(int(numbers[row]), "dropped", "an old row that was not drawn for replay")
    share = len(wanted) / (len(wanted) + len(new))
    notes.append(f"{len(wanted)} old rows are learnt again beside {len(new)} new ones: {share:.0%}")
    return joined([new, chosen(old, np.array(wanted))])


def _keep_out(
    splits: dict[str, Sequence[Record]], roles: Roles, held: Sequence[Record], what: str, ledger: Ledger,
    notes: list[str],
) -> None:  # fmt: skip
    """What is judged on again is never learnt from."""
    for name in (*LEARNT, "validation"):
        if not splits.get(name):
            continue
        numbers, twin = ids(splits[name]), shared(inputs(held, roles), inputs(splits[name], roles))
        gone = scratch.where(twin >= 0)
        for row in scratch.each(gone):
            ledger.mark(int(numbers[row]), "dropped", f"the same text stands in {what}")
        if len(gone):
            splits[name] = chosen(splits[name], scratch.where(twin < 0))
            notes.append(f"{counted(len(gone), 'row')} left {name} because the same text stands in {what}")


def _split(plan: Plan, pool: Sequence[Record], roles: Roles) -> dict[str, Sequence[Record]]:
    """Rows by split. Of several tasks those that hold out alike are divided together."""
    strands = {each.name: each for each in plan.task.strands(pool, roles)}
    held = plan.task.shares_held(plan.data)
    ways: dict[str, list[str]] = {}
    for name, shares in held.items():
        ways.setdefault(repr(shares), []).append(name)
    found: dict[str, list[Sequence[Record]]] = {}
    for names in ways.values():
        some = pool
        if strands:
            some = chosen(pool, np.sort(np.concatenate([strands[name].rows for name in names])))
        strata, asked = _strata(plan.task, some, roles), cast("dict[Any, float | None]", held[names[0]])
        groups = _same_texts(some, roles) if strands else None
        for split, rows in divided(some, strata, roles, asked, plan.train.seed, groups).items():
            found.setdefault(split, []).append(rows)
    return {split: joined(each) for split, each in found.items()}


def _strata(task: Task, records: Sequence[Record], roles: Roles) -> Coded:
    """What every split shall have its share of: labels, as the task has them; of several tasks those of each."""
    if strands := task.strands(records, roles):
        numbers, names = scratch.room(len(records), np.int32), list[str]()
        for each in strands:
            if len(each.rows):
                own = _strata(each.task, each.records, each.roles)
                numbers[each.rows] = own.numbers + len(names)
                names += [f"{each.name}\t{name}" for name in own.names]
        return Coded(tuple(names), numbers)
    if task.kind in ("text", "pairs"):
        roles = replace(roles, label=None)  # an answer is no class to keep in proportion
    if task.kind not in ("multilabel", "tags") or roles.label is None:
        return strata_of(records, roles)
    sets = _LabelSets(records, roles.label)
    return coded(rarest_of(sets, often(sets)))


def _same_texts(records: Sequence[Record], roles: Roles) -> Coded | None:
    """Rows of one text, which stay together; None where every text stands once."""
    first = first_alike(inputs(records, roles))
    if all((first[part] == np.arange(part.start, part.stop)).all() for part in scratch.blocks(len(first))):
        return None
    return coded(str(row) for part in scratch.blocks(len(first)) for row in first[part].tolist())


@dataclass(frozen=True)
class _LabelSets:
    """The labels of each row, to be walked over more than once."""

    records: Sequence[Record]
    column: str

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return (tuple(dict.fromkeys(map(str, cast("list[Any]", r.cells[self.column])))) for r in self.records)


def _held(plan: Plan, rows: int, progress: Progress) -> list[str]:
    """What steps will hold in memory that rows in files do not save them from; said before it may be too much."""
    sizes = [(step, step.held(rows)) for step in plan.steps if step.memory == "grows"]
    notes = [f"step {step.name} will hold about {size / 1e9:.1f} GB in memory: {step.holds}"
             for step, size in sizes if size > _MUCH]  # fmt: skip
    for note in notes:
        progress.say(f"warning: {note}")
    return notes


def run_steps(
    plan: Plan, scope: str, records: Sequence[Record], roles: Roles, ledger: Ledger, learnt: Learnt | None = None
) -> Sequence[Record]:
    """The plan's steps of one scope, in order; `learnt` is what those of the scope `learnt` go by."""
    for place, step in enumerate(plan.steps):
        if step.scope == scope:
            told: dict[str, Any] = {"plan": plan} if step.asks_plan else {"task": plan.task} if step.asks_task else {}
            if scope == "learnt":
                told["learnt"] = (learnt or {}).get(f"steps.{place}")
            with part(f"step {step.name}"):
                records = step.run(records, roles, ledger, plan.train.seed, **told)
    return records


def _learn(plan: Plan, roles: Roles, splits: dict[str, Sequence[Record]], ledger: Ledger) -> Learnt:
    """Have the steps that learn from the training rows do so in order, each on what the one before it left, and apply
    them to every split."""
    found: Learnt = {}
    for place, step in enumerate(plan.steps):
        if step.scope == "learnt":
            splits["train"], known = step.learn(splits["train"], roles, ledger)
            found[f"steps.{place}"] = known
            for name, rows in splits.items():
                splits[name] = step.run(rows, roles, ledger, plan.train.seed, learnt=known)  # type: ignore[call-arg]
    return found


def _part(plan: Plan, roles: Roles, splits: dict[str, Sequence[Record]], ledger: Ledger, notes: list[str]) -> None:
    """No input may stand on both sides: training rows that are held out too leave, then validation rows in test."""
    known = {name: inputs(rows, roles) for name, rows in splits.items()}
    for later, earlier in (("test", (*LEARNT, "validation")), ("validation", LEARNT)):
        for name in earlier:
            if later not in splits or name not in splits:
                continue
            twin = shared(known[later], known[name])
            gone = scratch.where(twin >= 0)
            if not len(gone):
                continue
            if plan.data.overlap == "refuse":
                _refuse_shared(name, later, splits[later], np.flatnonzero(shared(known[name], known[later]) >= 0))
            numbers = ids(splits[name])
            for row in scratch.each(gone):
                ledger.mark(int(numbers[row]), "dropped", f"the same text stands in {later}")
            stays = scratch.where(twin < 0)
            splits[name] = chosen(splits[name], stays)
            known[name] = Digests(*(scratch.taken(half, stays) for half in known[name]))
            notes.append(f"{counted(len(gone), 'row')} left {name} because the same text stands in {later}")


def _near(
    plan: Plan, roles: Roles, splits: dict[str, Sequence[Record]], ledger: Ledger, notes: list[str]
) -> Leaks:  # fmt: skip
    """What is nearly the same on both sides: told, or taken out of the earlier split."""
    if plan.data.near == "ignore":
        return Leaks("data.near=ignore")
    for later, earlier in (("test", (*LEARNT, "validation")), ("validation", LEARNT)):
        for name in earlier if plan.data.near == "remove" else ():
            if splits.get(later) and splits.get(name):
                leaks.remove(splits, name, later, roles, ledger, notes)
    held = {name: rows for name, rows in splits.items() if name not in LEARNT}
    learnt = [splits[name] for name in LEARNT if splits.get(name)]
    return leaks.find(held, joined(learnt), roles, notes) if learnt else Leaks("nothing is learnt from")


def _refuse_shared(name: str, later: str, held: Sequence[Record], both: Index) -> NoReturn:
    raise TunesmithError(
        f"data: {len(both)} rows of {later} stand in {name}, too, such as {rows_shown([held[int(both[0])]])}. "
        "Take them out, or write data.overlap=remove"
    )


def _each_task(
    task: Task, splits: dict[str, Sequence[Record]], roles: Roles
) -> Iterator[tuple[Task, dict[str, Sequence[Record]], Roles]]:
    """A task with its rows by split; of several tasks, each."""
    parts = {split: task.strands(rows, roles) for split, rows in splits.items()}
    if not any(parts.values()):
        yield task, splits, roles
    for several in zip(*parts.values(), strict=True):
        yield several[0].task, dict(zip(parts, (each.records for each in several), strict=True)), several[0].roles


def _tell_labels(task: Task, records: Sequence[Record], roles: Roles, notes: list[str]) -> None:
    for each in task.strands(records, roles):
        _tell_labels(each.task, each.records, each.roles, notes)
    if task.kind != "classes" or roles.label is None:
        return
    for alike in label_twins({str(r.cells[roles.label]) for r in records}):
        notes.append(f"labels {list(alike)} may be one; they are kept apart. Rename them in the file if they are")
    found = twins(records, roles)
    if len(found.clashing):
        first = chosen(records, found.members(int(found.clashing[0])))
        rows = int(found.clash.sum())
        notes.append(f"{rows} rows have a text that stands with different labels, such as {rows_shown(first)}")


def _tell_strangers(task: Task, splits: dict[str, Sequence[Record]], roles: Roles, notes: list[str]) -> None:
    """Labels that stand in a held-out split alone cannot be answered, and that must not be silent."""
    if task.kind in ("numbers", "text", "pairs", "vectors") or roles.label is None:
        return

    def names(record: Record) -> list[str]:
        cell = record.cells[roles.label or ""]
        return list(dict.fromkeys(map(str, cell))) if isinstance(cell, list) else [str(cell)]

    known = {name for record in splits["train"] for name in names(record)}
    for split_name, rows in splits.items():
        strange = Counter(name for record in rows for name in names(record) if name not in known)
        if strange:
            told = ", ".join(f"'{name}' ({count} rows)" for name, count in strange.most_common(8))
            notes.append(f"{len(strange)} labels stand in {split_name} and not in train: {told}. "
                         "They cannot be answered and count as wrong")  # fmt: skip

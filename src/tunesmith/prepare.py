"""Prepare: a plan's files -> rows in splits, each input row accounted for.

Order: read, steps on every row, steps on the training pool, split, overlap between splits, steps on every split, steps
on the training split.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, cast

import numpy as np

from tunesmith import scratch
from tunesmith.data import Record, Roles
from tunesmith.data.alike import Digests
from tunesmith.data.coded import coded
from tunesmith.data.ledger import Ledger
from tunesmith.data.overlap import inputs, label_twins, rows_shown, shared, twins
from tunesmith.data.rows import Index, chosen, ids, joined
from tunesmith.data.split import divided, often, rarest_of, split
from tunesmith.data.table import Table, read
from tunesmith.earlier import NOTHING, Earlier, replayed
from tunesmith.errors import TunesmithError
from tunesmith.files import digest_json
from tunesmith.plan import Plan
from tunesmith.progress import LONG, Progress

SPLITS = ("train", "validation", "test")
BARE = "the rows without a label"
"""Rows that are learnt from though nobody labelled them (`Task.joining`)."""
LEARNT = ("train", BARE)


@dataclass
class Prepared:
    """Rows ready to be encoded."""

    plan: Plan
    """The plan with every column named."""
    roles: Roles
    splits: dict[str, Sequence[Record]]
    ledger: Ledger
    tables: list[Table]
    notes: list[str]
    joined: Index
    """Ids of the training rows that come from files of the task's own (`Task.joining`)."""
    bare: Sequence[Record]
    """Rows of these files without a label."""

    @property
    def lessons(self) -> Sequence[Record]:
        """All rows that something is learnt from."""
        return joined([self.splits["train"], self.bare]) if self.bare else self.splits["train"]

    @property
    def digest(self) -> str:
        """sha256 over the input files' digests, in order."""
        return digest_json([t.sha256 for t in self.tables])

    def about(self) -> dict[str, Any]:
        """For data.json: files, ledger, rows by label and split."""
        files = [
            {"name": t.source, "sha256": t.sha256, "rows": len(t.rows) + len(t.bad), "notes": list(t.notes)}
            for t in self.tables
        ]
        return {"files": files, "ledger": self.ledger.summary(), "labels": self._labels(), "notes": self.notes}

    def _labels(self) -> dict[str, dict[str, int]]:
        if self.roles.label is None or self.roles.numeric_label or self.plan.task.kind != "classes":
            return {}
        found = {s: Counter(str(r.cells[self.roles.label]) for r in rows) for s, rows in self.splits.items()}
        names = sorted({label for counts in found.values() for label in counts})
        return {label: {s: counts[label] for s, counts in found.items()} for label in names}


def prepare(plan: Plan, progress: Progress | None = None, before: Earlier = NOTHING) -> Prepared:
    """Read, clean, divide and check the data of a plan. Deterministic in the files, `plan.train.seed`, and in what the
    base kept of the instalments `before`."""
    ledger, progress = Ledger(), progress or Progress(silent=True)
    tables: list[Table] = []
    parts: list[Sequence[Record]] = []
    for source in plan.data.train:
        table = read(source.file, plan.data.format, progress=progress)
        if not tables:
            plan = plan.model_copy(update={"task": plan.task.resolved(table)})
        parts.append(ledger.add(table, weight=source.weight))
        tables.append(table)
    pools = {"train": joined(parts)}
    for name in ("validation", "test"):
        given = getattr(plan.data, name)
        if isinstance(given, str):
            tables.append(read(given, plan.data.format, progress=progress))
            pools[name] = ledger.add(tables[-1])
    if plan.replay.rows:
        tables.append(_old_rows(plan, before, progress))
        pools["replay"] = ledger.add(tables[-1])
    if names := plan.task.joining():
        more = [read(name, plan.data.format, progress=progress) for name in names]
        tables += more
        pools["joining"] = joined([ledger.add(table) for table in more])
    tables += [read(name, progress=progress) for name in plan.task.files()]
    if text := plan.task.objection(plan):  # of what is known now that the columns are
        raise TunesmithError(f"task: {text}")
    roles = plan.task.roles()
    roles = replace(roles, group=plan.data.group or roles.group)
    pools = {name: plan.task.taken_in(records, ledger) for name, records in pools.items()}
    notes: list[str] = []
    if len(ledger) >= LONG:
        progress.say(f"preparing {len(ledger)} rows: {', '.join(step.name for step in plan.steps)}, split, overlap")
    splits, own = _divide(plan, roles, pools, before, ledger, notes)
    return Prepared(plan, roles, splits, ledger, tables, notes, own, splits.pop(BARE, ()))


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


def _old_rows(plan: Plan, before: Earlier, progress: Progress) -> Table:
    if plan.replay.file is not None:
        return read(plan.replay.file, plan.data.format, progress=progress)
    if before.rows is None:
        raise TunesmithError(
            f"replay.share: base {plan.base.name} kept no rows to replay. Give them as replay.file, or make the base "
            "anew with replay.keep: 200"
        )
    return replace(read(str(before.rows), progress=progress), source=before.kept_source)


def _divide(
    plan: Plan, roles: Roles, pools: dict[str, Sequence[Record]], before: Earlier, ledger: Ledger, notes: list[str]
) -> tuple[dict[str, Sequence[Record]], Index]:
    pools = {name: run_steps(plan, "every_row", rows, roles, ledger) for name, rows in pools.items()}
    pool, old = run_steps(plan, "pool", pools.pop("train"), roles, ledger), pools.pop("replay", ())
    own, bare = _joining(plan, roles, pools.pop("joining", ()), ledger)
    _tell_labels(plan, pool, roles, notes)
    validation, test = (v if isinstance(v, float) else None for v in (plan.data.validation, plan.data.test))
    splits = _split(plan, pool, roles, validation, test) | pools
    splits = {name: splits[name] for name in SPLITS if splits.get(name)}
    splits |= {"train": joined([splits["train"], own])} if own else {}
    splits |= {BARE: bare} if bare else {}
    if old:
        splits["train"] = _with_old(plan, splits["train"], old, ledger, notes)
    _part(plan, roles, splits, ledger, notes)
    for number, again in enumerate(before.tests):
        _keep_out(splits, roles, again, f"the held-out rows of instalment {number + 1}", ledger, notes)
    for name, rows in splits.items():
        if name not in LEARNT:
            ledger.place(rows, name)  # type: ignore[arg-type]
    for name in LEARNT:
        ledger.place(splits.get(name, ()), "train")
    _tell_strangers(plan, splits, roles, notes)
    unlabelled = replace(roles, label=None)
    splits = {
        name: run_steps(plan, "split", rows, unlabelled if name == BARE else roles, ledger)
        for name, rows in splits.items()
    }
    splits["train"] = run_steps(plan, "train", splits["train"], roles, ledger)
    return splits, ids(own)


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
        for row in gone.tolist():
            ledger.mark(int(numbers[row]), "dropped", f"the same text stands in {what}")
        if len(gone):
            splits[name] = chosen(splits[name], scratch.where(twin < 0))
            notes.append(f"{len(gone)} rows left {name} because the same text stands in {what}")


def _split(
    plan: Plan, pool: Sequence[Record], roles: Roles, validation: float | None, test: float | None
) -> dict[str, Sequence[Record]]:
    seed = plan.train.seed
    if plan.task.kind in ("text", "pairs"):
        roles = replace(roles, label=None)  # an answer is no class to keep in proportion
    if plan.task.kind not in ("multilabel", "tags") or roles.label is None:
        return {str(k): v for k, v in split(pool, roles, validation, test, seed).items()}
    sets = _LabelSets(pool, roles.label)
    strata = coded(rarest_of(sets, often(sets)))
    return {str(k): v for k, v in divided(pool, strata, roles, {"test": test, "validation": validation}, seed).items()}


@dataclass(frozen=True)
class _LabelSets:
    """The labels of each row, to be walked over more than once."""

    records: Sequence[Record]
    column: str

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return (tuple(dict.fromkeys(map(str, cast("list[Any]", r.cells[self.column])))) for r in self.records)


def run_steps(plan: Plan, scope: str, records: Sequence[Record], roles: Roles, ledger: Ledger) -> Sequence[Record]:
    """The plan's steps of one scope, in order."""
    for step in plan.steps:
        if step.scope == scope:
            told: dict[str, Any] = {"plan": plan} if scope == "split" else {}
            records = step.run(records, roles, ledger, plan.train.seed, **told)
    return records


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
            for row in gone.tolist():
                ledger.mark(int(numbers[row]), "dropped", f"the same text stands in {later}")
            stays = scratch.where(twin < 0)
            splits[name] = chosen(splits[name], stays)
            known[name] = Digests(*(scratch.taken(half, stays) for half in known[name]))
            told = "1 row" if len(gone) == 1 else f"{len(gone)} rows"
            notes.append(f"{told} left {name} because the same text stands in {later}")


def _refuse_shared(name: str, later: str, held: Sequence[Record], both: Index) -> NoReturn:
    raise TunesmithError(
        f"data: {len(both)} rows of {later} stand in {name}, too, such as {rows_shown([held[int(both[0])]])}. "
        "Take them out, or write data.overlap=remove"
    )


def _tell_labels(plan: Plan, records: Sequence[Record], roles: Roles, notes: list[str]) -> None:
    if plan.task.kind != "classes" or roles.label is None:
        return
    for alike in label_twins({str(r.cells[roles.label]) for r in records}):
        notes.append(f"labels {list(alike)} may be one; they are kept apart. Rename them in the file if they are")
    found = twins(records, roles)
    if len(found.clashing):
        first = chosen(records, found.members(int(found.clashing[0])))
        rows = int(found.clash.sum())
        notes.append(f"{rows} rows have a text that stands with different labels, such as {rows_shown(first)}")


def _tell_strangers(plan: Plan, splits: dict[str, Sequence[Record]], roles: Roles, notes: list[str]) -> None:
    """Labels that stand in a held-out split alone cannot be answered, and that must not be silent."""
    if plan.task.kind in ("numbers", "text", "pairs", "vectors") or roles.label is None:
        return

    def names(record: Record) -> list[str]:
        cell = record.cells[roles.label or ""]
        return list(dict.fromkeys(map(str, cell))) if isinstance(cell, list) else [str(cell)]

    known = {name for record in splits["train"] for name in names(record)}
    for split_name, rows in splits.items():
        if split_name == BARE:
            continue
        strange = Counter(name for record in rows for name in names(record) if name not in known)
        if strange:
            told = ", ".join(f"'{name}' ({count} rows)" for name, count in strange.most_common(8))
            notes.append(f"{len(strange)} labels stand in {split_name} and not in train: {told}. "
                         "They cannot be answered and count as wrong")  # fmt: skip

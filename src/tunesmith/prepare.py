"""Prepare: a plan's files -> rows in splits, each input row accounted for.

Order: read, steps on every row, steps on the training pool, split, overlap between splits, steps on the training split.
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
from tunesmith.errors import TunesmithError
from tunesmith.files import digest_json
from tunesmith.plan import Plan
from tunesmith.progress import LONG, Progress

SPLITS = ("train", "validation", "test")


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


def prepare(plan: Plan, progress: Progress | None = None) -> Prepared:
    """Read, clean, divide and check the data of a plan. Deterministic in the files and `plan.train.seed`."""
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
    roles = replace(plan.task.roles(), group=plan.data.group)
    pools = {name: plan.task.taken_in(records, ledger) for name, records in pools.items()}
    notes: list[str] = []
    if len(ledger) >= LONG:
        progress.say(f"preparing {len(ledger)} rows: {', '.join(step.name for step in plan.steps)}, split, overlap")
    splits = _divide(plan, roles, pools, ledger, notes)
    return Prepared(plan, roles, splits, ledger, tables, notes)


def _divide(
    plan: Plan, roles: Roles, pools: dict[str, Sequence[Record]], ledger: Ledger, notes: list[str]
) -> dict[str, Sequence[Record]]:
    pools = {name: run_steps(plan, "every_row", rows, roles, ledger) for name, rows in pools.items()}
    pool = run_steps(plan, "pool", pools.pop("train"), roles, ledger)
    _tell_labels(plan, pool, roles, notes)
    validation, test = (v if isinstance(v, float) else None for v in (plan.data.validation, plan.data.test))
    splits = _split(plan, pool, roles, validation, test) | pools
    splits = {name: splits[name] for name in SPLITS if splits.get(name)}
    _part(plan, roles, splits, ledger, notes)
    for name, rows in splits.items():
        if name != "train":
            ledger.place(rows, name)  # type: ignore[arg-type]
    ledger.place(splits["train"], "train")
    _tell_strangers(plan, splits, roles, notes)
    splits["train"] = run_steps(plan, "train", splits["train"], roles, ledger)
    return splits


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
            records = step.run(records, roles, ledger, plan.train.seed)
    return records


def _part(plan: Plan, roles: Roles, splits: dict[str, Sequence[Record]], ledger: Ledger, notes: list[str]) -> None:
    """No input may stand on both sides: training rows that are held out too leave, then validation rows in test."""
    known = {name: inputs(rows, roles) for name, rows in splits.items()}
    for later, earlier in (("test", ("train", "validation")), ("validation", ("train",))):
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
    if plan.task.kind in ("numbers", "text", "pairs") or roles.label is None:
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

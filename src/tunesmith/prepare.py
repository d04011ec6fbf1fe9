"""Prepare: a plan's files -> rows in splits, each input row accounted for.

Order: read, steps on every row, steps on the training pool, split, overlap between splits, steps on the training split.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tunesmith.data import Record, Roles
from tunesmith.data.ledger import Ledger
from tunesmith.data.overlap import conflicts, label_twins, overlap, rows_shown
from tunesmith.data.roles import labels_of
from tunesmith.data.split import partition, rarest, split
from tunesmith.data.table import Table, read
from tunesmith.errors import TunesmithError
from tunesmith.files import digest_json
from tunesmith.plan import Plan

SPLITS = ("train", "validation", "test")


@dataclass
class Prepared:
    """Rows ready to be encoded."""

    plan: Plan
    """The plan with every column named."""
    roles: Roles
    splits: dict[str, list[Record]]
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


def prepare(plan: Plan) -> Prepared:
    """Read, clean, divide and check the data of a plan. Deterministic in the files and `plan.train.seed`."""
    ledger = Ledger()
    tables: list[Table] = []
    pools: dict[str, list[Record]] = {"train": []}
    for source in plan.data.train:
        table = read(source.file, plan.data.format)
        if not tables:
            plan = plan.model_copy(update={"task": plan.task.resolved(table)})
        records = [replace(r, weight=source.weight) if source.weight != 1 else r for r in ledger.add(table)]
        pools["train"] += records
        tables.append(table)
    for name in ("validation", "test"):
        given = getattr(plan.data, name)
        if isinstance(given, str):
            tables.append(read(given, plan.data.format))
            pools[name] = ledger.add(tables[-1])
    roles = replace(plan.task.roles(), group=plan.data.group)
    if plan.task.kind == "multilabel":
        pools = {name: label_sets(records, roles, plan.task.separator) for name, records in pools.items()}  # type: ignore[attr-defined]
    notes: list[str] = []
    splits = _divide(plan, roles, pools, ledger, notes)
    return Prepared(plan, roles, splits, ledger, tables, notes)


def _divide(
    plan: Plan, roles: Roles, pools: dict[str, list[Record]], ledger: Ledger, notes: list[str]
) -> dict[str, list[Record]]:
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


def label_sets(records: Sequence[Record], roles: Roles, separator: str) -> list[Record]:
    """The same rows with their label cell as a list, however the file writes it."""
    column = roles.label
    if column is None:
        return list(records)
    return [replace(r, cells=r.cells | {column: list(labels_of(r, column, separator))}) for r in records]


def _split(
    plan: Plan, pool: list[Record], roles: Roles, validation: float | None, test: float | None
) -> dict[str, list[Record]]:
    if plan.task.kind != "multilabel" or roles.label is None:
        return {str(k): v for k, v in split(pool, roles, validation, test, plan.train.seed).items()}
    sets = [tuple(str(one) for one in r.cells[roles.label]) for r in pool]  # type: ignore[union-attr]
    shares = {n: s for n, s in (("test", test), ("validation", validation)) if s is not None}
    parts: dict[str, list[Record]] = {"train": [], **{name: [] for name in shares}}
    groups = None if roles.group is None else [repr(r.cells.get(roles.group)) for r in pool]
    for record, name in zip(pool, partition(rarest(sets), groups, shares, plan.train.seed), strict=True):  # type: ignore[arg-type]
        parts[name].append(record)
    return parts


def run_steps(plan: Plan, scope: str, records: list[Record], roles: Roles, ledger: Ledger) -> list[Record]:
    """The plan's steps of one scope, in order."""
    for step in plan.steps:
        if step.scope == scope:
            records = step.run(records, roles, ledger, plan.train.seed)
    return records


def _part(plan: Plan, roles: Roles, splits: dict[str, list[Record]], ledger: Ledger, notes: list[str]) -> None:
    """No input may stand on both sides: training rows that are held out too leave, then validation rows in test."""
    for later, earlier in (("test", ("train", "validation")), ("validation", ("train",))):
        for name in earlier:
            if later in splits and name in splits:
                _remove_shared(plan, roles, splits, ledger, notes, name, later)


def _remove_shared(  # noqa: PLR0913
    plan: Plan, roles: Roles, splits: dict[str, list[Record]], ledger: Ledger, notes: list[str], name: str, later: str
) -> None:
    from tunesmith.data.overlap import key

    pairs = overlap(splits[name], splits[later], roles)
    if not pairs:
        return
    if plan.data.overlap == "refuse":
        raise TunesmithError(
            f"data: {len(pairs)} rows of {later} stand in {name}, too, such as {rows_shown([pairs[0][1]])}. "
            "Take them out, or write data.overlap=remove"
        )
    held = {key(record, roles): record for record in splits[later]}
    kept, gone = [], 0
    for record in splits[name]:
        twin = held.get(key(record, roles))
        if twin is None:
            kept.append(record)
        else:
            ledger.mark(record.id, "dropped", f"the same text stands in {later}")
            gone += 1
    splits[name] = kept
    rows = "1 row" if gone == 1 else f"{gone} rows"
    notes.append(f"{rows} left {name} because the same text stands in {later}")


def _tell_labels(plan: Plan, records: Sequence[Record], roles: Roles, notes: list[str]) -> None:
    if plan.task.kind != "classes" or roles.label is None:
        return
    for twins in label_twins({str(r.cells[roles.label]) for r in records}):
        notes.append(f"labels {list(twins)} may be one; they are kept apart. Rename them in the file if they are")
    if groups := conflicts(records, roles):
        rows = sum(len(g) for g in groups)
        notes.append(f"{rows} rows have a text that stands with different labels, such as {rows_shown(groups[0])}")


def _tell_strangers(plan: Plan, splits: dict[str, list[Record]], roles: Roles, notes: list[str]) -> None:
    """Labels that stand in a held-out split alone cannot be answered, and that must not be silent."""
    if plan.task.kind == "numbers" or roles.label is None:
        return

    def names(record: Record) -> list[str]:
        cell = record.cells[roles.label or ""]
        return [str(one) for one in cell] if isinstance(cell, list) else [str(cell)]

    known = {name for record in splits["train"] for name in names(record)}
    for split_name, rows in splits.items():
        strange = Counter(name for record in rows for name in names(record) if name not in known)
        if strange:
            told = ", ".join(f"'{name}' ({count} rows)" for name, count in strange.most_common(8))
            notes.append(f"{len(strange)} labels stand in {split_name} and not in train: {told}. "
                         "They cannot be answered and count as wrong")  # fmt: skip

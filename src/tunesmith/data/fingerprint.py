"""What a data set is (digest) and what is doubtful about it (findings), before anything is trained."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isnan
from typing import Any, Literal

import numpy as np

from tunesmith import scratch
from tunesmith.data import _suspicions
from tunesmith.data.coded import coded
from tunesmith.data.format import excerpt
from tunesmith.data.overlap import Hits, label_twins, overlap, rows_shown, twins
from tunesmith.data.record import Cell, Record, Roles
from tunesmith.data.roles import label_of, text_of
from tunesmith.data.rows import chosen

Severity = Literal["info", "warning", "error"]
TINY_CLASS, IMBALANCE, LONG_CHARACTERS = 5, 10.0, 10_000
LEAK_SHARE, LEAK_ROWS = 0.5, 5
LOOKED_AT = 50_000
"""Rows that the dearer tests look at; which are taken evenly from larger data, and the finding says so."""


@dataclass(frozen=True)
class Finding:
    """Something about the data that a person should know, and what can be done."""

    kind: str
    rows: int
    """How many rows it concerns."""
    column: str | None
    severity: Severity
    remedy: str
    """What was found, an example with its place, and what to do."""

    def as_json(self) -> dict[str, Any]:
        """For `--json` and data.json."""
        return asdict(self)


def digest(records: Sequence[Record]) -> str:
    """sha256 of the rows' content, in order; file names, places and weights do not count."""
    total = hashlib.sha256()
    for record in records:
        total.update(json.dumps(record.cells, sort_keys=True, ensure_ascii=True).encode() + b"\n")
    return total.hexdigest()


def check(records: Sequence[Record], roles: Roles, held_out: Sequence[Record] = ()) -> list[Finding]:
    """All findings, the severe ones first. `held_out`: rows of given validation or test files, to look for leaks."""
    records, missing = _complete(records, roles)
    found = [*missing, *_same_inputs(records, roles), *_leaks(records, held_out, roles)]
    found += [] if roles.wordless else _suspicions_of_texts(records, roles)
    if roles.label is not None and not roles.numeric_label and _is_plain_label(records, roles.label):
        found += _label_findings(records, roles, roles.label)
    order: dict[Severity, int] = {"error": 0, "warning": 1, "info": 2}
    return sorted(found, key=lambda f: order[f.severity])


def _input(roles: Roles) -> str | None:
    return next(iter((*roles.texts, *roles.side)), None)


def _complete(records: Sequence[Record], roles: Roles) -> tuple[Sequence[Record], list[Finding]]:
    """The rows that have all texts and a label, and findings on the others, which would stop a training."""
    blank = {column: Hits() for column in (*roles.texts, *([roles.label] if roles.label else []))}
    whole = scratch.room(len(records), np.bool_, 1)
    for i, record in enumerate(records):
        for column, hits in blank.items():
            if _is_missing(record.cells.get(column), empty_too=column == roles.label):
                hits.add(record)
                whole[i] = False
    found = []
    for column, hits in blank.items():
        if hits.count:
            told = f"{hits.count} rows have no value (first: {hits.shown}). Fill it in, or leave the rows out"
            found.append(Finding("missing_value", hits.count, column, "error", told))
    return chosen(records, scratch.where(whole)) if found else records, found


def _is_missing(value: Cell, empty_too: bool) -> bool:
    return (
        value is None
        or (isinstance(value, float) and isnan(value))
        or (empty_too and isinstance(value, str) and not value.strip())
    )


def _is_plain_label(records: Sequence[Record], column: str) -> bool:
    return not any(isinstance(r.cells.get(column), list | dict) for r in records)


def _same_inputs(records: Sequence[Record], roles: Roles) -> list[Finding]:
    found = []
    same = twins(records, roles)
    clashing = same.clashing
    if repeats := int(same.repeats.sum()):
        shown = rows_shown(chosen(records, same.members(int(same.first[0]))))
        told = f"{repeats} rows repeat another row up to case and spaces (first: {shown}). "
        found.append(Finding("duplicates", repeats, _input(roles), "warning", told + "Add the step dedup"))
    if len(clashing):
        shown = rows_shown(chosen(records, same.members(int(clashing[0]))))
        told = f"{len(clashing)} texts carry different labels (first: {shown}). "
        fix = "Correct the labels, or add the step {name: dedup, conflicts: drop}"
        found.append(Finding("conflicts", int(same.clash.sum()), roles.label, "warning", told + fix))
    return found


def _leaks(records: Sequence[Record], held_out: Sequence[Record], roles: Roles) -> list[Finding]:
    pairs = overlap(records, held_out, roles)
    if not pairs:
        return []
    told = f"{len(pairs)} held-out rows are also training rows (first: {rows_shown(pairs[0])}). "
    return [Finding("overlap", len(pairs), _input(roles), "error", told + "Remove them from one of the files")]


def _suspicions_of_texts(records: Sequence[Record], roles: Roles) -> list[Finding]:
    found = []
    for column in roles.texts:
        hits = {kind: Hits() for kind, *_ in _suspicions.TESTS}
        for record in records:
            text = text_of(record, column)
            for kind, _, _, test in _suspicions.TESTS:
                if test(text):
                    hits[kind].add(record)
        for kind, severity, remedy, _ in _suspicions.TESTS:
            if count := hits[kind].count:
                told = f"{count} rows (first: {hits[kind].shown}). {remedy}"
                found.append(Finding(kind, count, column, severity, told))
        looked_at = _some(records)
        shares = _suspicions.scripts([text_of(r, column) for r in looked_at])
        told = "Script: " if len(looked_at) == len(records) else f"Script, in {len(looked_at)} rows evenly taken: "
        told += ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        found.append(Finding("script", len(records), column, "info", f"{told}. Choose a base that was trained on it"))
    return found


def _some(records: Sequence[Record]) -> Sequence[Record]:
    """Evenly taken rows where there are very many: what is a share of rows is the same in 50,000 of them."""
    return list(records[:: max(1, -(-len(records) // LOOKED_AT))])


def _label_findings(records: Sequence[Record], roles: Roles, column: str) -> list[Finding]:
    counts = coded(label_of(record, column) for record in records).counts
    found = []
    for alike in label_twins(counts):
        rows = sum(counts[t] for t in alike)
        told = f"{' and '.join(repr(excerpt(t)) for t in alike)} are probably one label. Spell them alike"
        found.append(Finding("label_twins", rows, column, "warning", told))
    if tiny := {label: n for label, n in counts.items() if n < TINY_CLASS}:
        shown = ", ".join(f"'{excerpt(label)}' ({n})" for label, n in list(tiny.items())[:5])
        told = f"{len(tiny)} classes with fewer than {TINY_CLASS} rows: {shown}. Add rows, or join classes"
        found.append(Finding("tiny_classes", sum(tiny.values()), column, "warning", told))
    if len(counts) > 1 and (ratio := max(counts.values()) / min(counts.values())) > IMBALANCE:
        told = f"the largest class has {ratio:.0f} times the rows of the smallest. "
        fix = "Judge by macro_f1, and try the step {name: balance, how: weights}"
        found.append(Finding("imbalance", len(records), column, "warning", told + fix))
    some = _some(records)
    labels = [label_of(record, column) for record in some]
    told = "" if len(some) == len(records) else f" (seen in {len(some)} of {len(records)} rows)"
    return found + _label_words(some, roles, labels, told) + _telling_columns(some, roles, labels, told)


def _label_words(records: Sequence[Record], roles: Roles, labels: Sequence[str], told: str) -> list[Finding]:
    """Classes whose name stands in most of their texts and seldom in others: the answer may be in the question."""
    found, counts = [], Counter(labels)
    texts = [" ".join(text_of(r, c) for c in roles.texts).casefold() for r in records]
    for label in sorted(counts):
        if counts[label] < LEAK_ROWS or not (pattern := _suspicions.word(label)):
            continue
        inside = [bool(pattern.search(text)) for text in texts]
        own = sum(hit for hit, other in zip(inside, labels, strict=True) if other == label)
        others = sum(inside) - own
        if own >= LEAK_SHARE * counts[label] and others * counts[label] < 0.2 * own * (len(labels) - counts[label]):
            what = f"the word '{excerpt(label)}' stands in {own} of {counts[label]} texts of its class{told}. "
            found.append(Finding("label_in_text", own, roles.texts[0], "warning", what + "Is the answer in the text?"))
    return found


def _telling_columns(records: Sequence[Record], roles: Roles, labels: Sequence[str], told: str) -> list[Finding]:
    """Columns beside text and label that tell the label: values that always go with one, identifiers that rise with it.

    Such a column is a leak when the model reads it, and a hint that rows were sorted by label when it does not.
    """
    found = []
    for column in records[0].cells if records else ():
        if column in (roles.label, roles.file, *roles.texts):
            continue
        if share := _suspicions.tells([str(r.cells.get(column)) for r in records], labels):
            used = column in roles.side
            what = f"'{excerpt(column)}' alone tells {share:.0%} of the labels{told}. "
            fix = "Take it out of the columns that the model reads" if used else "Do not let the model read it"
            found.append(Finding("telling_column", len(labels), column, "warning" if used else "info", what + fix))
    return found

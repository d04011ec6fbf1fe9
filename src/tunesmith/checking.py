"""`data check`: what is in a file and what is wrong with it, before anything is trained."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.bases.find import Found
from tunesmith.data import Record, Roles
from tunesmith.data.fingerprint import check
from tunesmith.data.ledger import Ledger
from tunesmith.data.roles import infer_label, infer_text, text_of
from tunesmith.data.spread import Spread
from tunesmith.data.table import Table, read
from tunesmith.errors import TunesmithError
from tunesmith.plan import Plan
from tunesmith.tasks import TASKS

_PIECE = 4096
"""Rows tokenised at once."""


def check_file(path: Path, plan: Plan | None, found: Found | None) -> dict[str, Any]:
    """{rows, columns, roles, notes, findings, tokens}: the reply of `data check`."""
    table = read(path, plan.data.format if plan else None)
    ledger = Ledger()
    records = ledger.add(table)
    task = plan.task if plan else TASKS.make("tag") if {"tokens", "tags"} <= set(table.columns) else None
    if task is None:
        roles = _guessed(table)
    else:
        task = task.resolved(table)
        roles, records = task.roles(), task.taken_in(records, ledger)
        roles = replace(roles, label=None) if task.kind in ("text", "pairs") else roles
    changed = [f"{what}: {times}" for step in ledger.changes.values() for what, times in step.items()]
    findings = [asdict(f) for f in check(records, roles)]
    tokens = None
    if found is not None:
        tokens, finding = _tokens(found, records, roles)
        findings = ([finding] if finding else []) + findings
    return {
        "file": str(path), "rows": len(records), "sha256": table.sha256, "columns": list(table.columns),
        "roles": {"texts": list(roles.texts), "label": roles.label, "group": roles.group, "side": list(roles.side)},
        "notes": [*table.notes, *changed], "malformed": len(table.bad), "tokens": tokens, "findings": findings,
    }  # fmt: skip


def _guessed(table: Table) -> Roles:
    text = infer_text(table.columns, table)
    try:
        label = infer_label([c for c in table.columns if c != text], table)
    except TunesmithError:
        label = None  # a file without labels can be checked, too
    return Roles((text,), label)


def _tokens(found: Found, records: Sequence[Record], roles: Roles) -> tuple[dict[str, Any], dict[str, Any] | None]:
    from tunesmith.bases.fit import SAMPLE, fit
    from tunesmith.bases.load import load_tokenizer

    tokenizer = load_tokenizer(found)
    fits = fit(tokenizer, _texts(records[:: max(1, len(records) // SAMPLE)][:SAMPLE], roles))
    pieces = (_texts(records[i : i + _PIECE], roles) for i in range(0, len(records), _PIECE))
    lengths = Spread.of(
        np.array([len(row) for row in tokenizer(texts, padding=False, truncation=False, verbose=False)["input_ids"]])
        for texts in pieces
    )
    about = asdict(fits) | {
        "base": found.name, "median": lengths.at(0.5), "p95": lengths.at(0.95), "max": lengths.largest,
        "over_256": int(lengths.counts[257:].sum()),
    }  # fmt: skip
    warning = fits.warning(found.name)
    finding = None
    if warning:
        finding = {"kind": "base_language", "rows": len(records), "column": roles.texts[0], "severity": "warning",
                   "remedy": warning}  # fmt: skip
    return about, finding


def _texts(records: Sequence[Record], roles: Roles) -> list[str]:
    return [text_of(r, roles.texts[0]) for r in records]

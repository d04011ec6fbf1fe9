"""`data check`: what is in a file and what is wrong with it, before anything is trained."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.bases.find import Found
from tunesmith.checks import check
from tunesmith.data import Record, Roles
from tunesmith.data.ledger import Ledger
from tunesmith.data.roles import infer_label, infer_text, text_of
from tunesmith.data.spread import Spread
from tunesmith.data.table import Table, read
from tunesmith.errors import TunesmithError
from tunesmith.plan import Plan
from tunesmith.tasks import TASKS, Task
from tunesmith.tasks._language import DIALOGUE, told_format
from tunesmith.tasks._pairs import SECOND

CONVERSATIONS = (DIALOGUE, SECOND)
"""Columns of tasks on conversations, which hold all that is read."""
_SHOWN = 5
_PIECE = 4096
"""Rows tokenised at once."""


def check_file(path: Path, plan: Plan | None, found: Found | None) -> dict[str, Any]:
    """{rows, columns, roles, notes, findings, tokens}: the reply of `data check`."""
    table = read(path, plan.data.format if plan else None)
    ledger = Ledger()
    records = ledger.add(table)
    task = plan.task if plan else _task_of(table)
    task = task.resolved(table) if task else None
    roles = task.roles() if task else _guessed(table)
    records = task.taken_in(records, ledger) if task else records
    notes = [*table.notes, *told_format(getattr(task, "mapping", None)).values()]
    notes += [f"{what}: {times}" for step in ledger.changes.values() for what, times in step.items()]
    if roles.file:
        from tunesmith.prepare import run_steps

        assert plan is not None, "files are a matter of the plan"
        records = run_steps(plan, "every_row", records, roles, ledger)
        found = None if roles.wordless else found  # what reads a file has no words to miss
    findings = findings_in(records, roles, task)
    tokens = None
    if found is not None:
        tokens, about_base = _tokens(found, records, roles, task)
        findings = about_base + findings
    return {
        "file": str(path), "rows": len(records), "sha256": table.sha256, "columns": list(table.columns),
        "roles": {"texts": list(roles.texts), "label": roles.label, "group": roles.group, "side": list(roles.side)},
        "notes": notes, "malformed": len(table.bad), "tokens": tokens, "findings": findings,
    }  # fmt: skip


def _task_of(table: Table) -> Task | None:
    """The task that the columns of a file speak of by themselves."""
    columns = set(table.columns)
    if {"tokens", "tags"} <= columns:
        return TASKS.make("tag")
    if {"chosen", "rejected"} <= columns:
        return TASKS.make("prefer")
    return TASKS.make("generate") if columns & {"messages", "conversations"} else None


def findings_in(records: Sequence[Record], roles: Roles, task: Any) -> list[dict[str, Any]]:
    """What is doubtful in rows; answers in words are no classes, and one question may have many."""
    if task is not None and (strands := task.strands(records, roles)):
        return [found for each in strands for found in findings_in(each.records, each.roles, each.task)]
    open_answers = task is not None and task.kind in ("text", "pairs")
    found = check(records, replace(roles, label=None) if open_answers else roles)
    return [asdict(f) for f in found if not (open_answers and f.kind == "duplicates")]


def _guessed(table: Table) -> Roles:
    text = infer_text(table.columns, table)
    try:
        label = infer_label([c for c in table.columns if c != text], table)
    except TunesmithError:
        label = None  # a file without labels can be checked, too
    return Roles((text,), label)


def _tokens(
    found: Found, records: Sequence[Record], roles: Roles, task: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
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
    findings = []
    if warning := fits.warning(found.name, writes=task is not None and task.talks):
        findings.append({"kind": "base_language", "rows": len(records), "column": roles.texts[0],
                         "severity": "warning", "remedy": warning})  # fmt: skip
    special = special_tokens(records, roles, tokenizer, task)
    return about, findings + ([special] if special else [])


def special_tokens(records: Sequence[Record], roles: Roles, tokenizer: Any, task: Any) -> dict[str, Any] | None:
    """A finding where special tokens of the tokenizer stand in the texts that are read, with what becomes of them."""
    from tunesmith.dialogue.controls import count_in

    if not records or roles.wordless:  # a picture is read without words
        return None
    texts = [c for c in (*CONVERSATIONS, *roles.texts) if c in records[0].cells]
    rows, tokens = count_in(([r.cells.get(c) for c in texts] for r in records), tokenizer)
    if not rows:
        return None
    told = ", ".join(f"{token} ({count})" for token, count in list(tokens.items())[:_SHOWN])
    becomes = getattr(task, "special_tokens", "control")
    remedy = f"special tokens of the base stand in the texts: {told}. "
    remedy += {
        "text": "They are read as text like any other; task.special_tokens: control makes them act",
        "control": "They act as control tokens, as if a template had written them. Take them out where nobody means it",
    }[becomes]
    return {"kind": "special_tokens", "rows": rows, "column": roles.texts[0], "severity": "warning", "remedy": remedy}


def _texts(records: Sequence[Record], roles: Roles) -> list[str]:
    return [text_of(r, roles.texts[0]) for r in records]

"""`data check`: what is in a file and what is wrong with it, before anything is trained."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tunesmith.bases.find import Found
from tunesmith.checks import MADE, Seen, Settings, by_severity, check, made
from tunesmith.checks.missing_value import whole_rows
from tunesmith.checks.repeats import Repeats
from tunesmith.data import Record, Roles, kept
from tunesmith.data.audit import Audit, audit
from tunesmith.data.audit import joined as joined_audits
from tunesmith.data.coded import coded
from tunesmith.data.columns import columns_of
from tunesmith.data.drift import States
from tunesmith.data.ledger import Ledger
from tunesmith.data.roles import infer_label, infer_text, label_of, text_of
from tunesmith.data.rows import joined
from tunesmith.data.spread import Spread
from tunesmith.data.table import Table, read
from tunesmith.errors import TunesmithError
from tunesmith.files import read_json, write_json
from tunesmith.plan import Plan
from tunesmith.progress import Progress
from tunesmith.tasks import TASKS, Task
from tunesmith.tasks._language import DIALOGUE, told_format
from tunesmith.tasks._pairs import SECOND

CONVERSATIONS = (DIALOGUE, SECOND)
"""Columns of tasks on conversations, which hold all that is read."""
_SHOWN = 5
_REPLY = "reply.json"
_PIECE = 4096
"""Rows tokenised at once."""
_LIMITS = (32, 64, 128, 256, 512, 1024, 2048)
_BARS = 24
_MOST_CLASSES = 1000


def check_files(
    paths: Sequence[Path], plan: Plan | None, found: Found | None, progress: Progress | None = None,
    settings: Settings = MappingProxyType({}), *, again: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """The reply of `data check`: what is in the first file, and what is wrong with it. Further files are held out: rows
    of them that stand in the first, too, are leaks. `again`: what took long is kept, and found again while no byte of a
    file and no setting differs; `cached` says so."""
    progress, began = progress or Progress(silent=True), time.monotonic()
    asked = _Asked(paths, plan, found, settings)
    if again and kept.held() and (key := asked.key()) and (folder := kept.look(key)):
        return dict(read_json(folder / _REPLY)) | {"cached": True}
    with progress.part("data check"):
        reply, reads_files = _check(asked, progress)
    content = [each["sha256"] for each in (reply, *reply["held_out"])]
    long = not reads_files and time.monotonic() - began >= kept.SECONDS
    if again and long and (key := asked.key(content)):
        progress.say(kept.keep(key, lambda folder: write_json(folder / _REPLY, reply)))
    return reply | {"cached": False}


@dataclass(frozen=True)
class _Asked:
    """What a check is of, and with."""

    paths: Sequence[Path]
    plan: Plan | None
    found: Found | None
    settings: Settings

    def key(self, content: Sequence[str] | None = None) -> str | None:
        """What the reply is kept under; None where a file is no regular one, or holds by now another `content` than
        was read."""
        files = kept.digests(self.paths)
        if files is None or (content is not None and [digest for _, digest in files] != content):
            return None
        checks = made(self.settings)
        opened = [file for each in checks for name in each.file_settings if (file := getattr(each, name))]
        if (named := kept.digests(opened)) is None:
            return None
        about = {"plan": self.plan and self.plan.model_dump(mode="json"),
                 "base": self.found and [self.found.name, self.found.digest],
                 "checks": [each.model_dump(mode="json") for each in checks]}  # fmt: skip
        return kept.name("check", files=files, named=named, **about)


def _check(asked: _Asked, progress: Progress) -> tuple[dict[str, Any], bool]:
    """(the reply, whether it depends on files that rows name)."""
    paths, plan, found, settings = asked.paths, asked.plan, asked.found, asked.settings
    table = read(paths[0], plan.data.format if plan else None, progress=progress)
    task = plan.task if plan else _task_of(table)
    task = task.resolved(table) if task else None
    roles = task.roles() if task else _guessed(table)
    records, notes = _rows(table, task, roles, plan)
    found = None if roles.wordless else found  # what reads a file has no words to miss
    others = [read(path, plan.data.format if plan else None, progress=progress) for path in paths[1:]]
    held_out = [_rows(other, task, roles, plan) for other in others]
    states, unread = _states(found, roles, task, progress)
    notes = [*notes, *unread]
    deep = Deep(joined([rows for rows, _ in held_out]), states, settings)
    findings = findings_in(records, roles, task, deep)
    tokens = None
    if found is not None and len(records):
        with progress.part("counting tokens"):
            tokens, about_base = _tokens(found, records, roles, task)
        findings = about_base + findings
    about = _about(table, records, notes) | {"columns": list(table.columns)}
    with progress.part("describing columns"):
        told = described(table.columns, records, roles, findings)
    return about | {
        "roles": {"texts": list(roles.texts), "label": roles.label, "group": roles.group, "side": list(roles.side)},
        "held_out": [_about(t, rows, notes) for t, (rows, notes) in zip(others, held_out, strict=True)],
        "described": told, "tokens": tokens, "findings": findings,
    }, roles.file is not None  # fmt: skip


def _about(table: Table, records: Sequence[Record], notes: list[str]) -> dict[str, Any]:
    return {"file": table.source, "rows": len(records), "malformed": len(table.bad), "sha256": table.sha256,
            "notes": notes}  # fmt: skip


def _rows(table: Table, task: Task | None, roles: Roles, plan: Plan | None) -> tuple[Sequence[Record], list[str]]:
    """The rows of a file as a task takes them, and what is to be told of that."""
    ledger = Ledger()
    records = ledger.add(table)
    records = task.taken_in(records, ledger) if task else records
    notes = [*table.notes, *told_format(getattr(task, "mapping", None)).values()]
    notes += [f"{what}: {times}" for step in ledger.changes.values() for what, times in step.items()]
    if roles.file:
        from tunesmith.prepare import run_steps

        assert plan is not None, "files are a matter of the plan"
        records = run_steps(plan, "every_row", records, roles, ledger)
    return records, notes


def described(
    names: Sequence[str], records: Sequence[Record], roles: Roles, findings: list[dict[str, Any]]
) -> dict[str, Any]:
    """{columns, classes, lengths}: what is in the rows, for the page."""
    classes: dict[str, int] = {}
    seen = Seen(records, roles)
    if seen.label and not any(f["kind"] == "missing_value" and f["column"] == seen.label for f in findings):
        classes = dict(coded(label_of(record, seen.label) for record in records).counts.most_common(_MOST_CLASSES))
    told = columns_of(names, records)
    texts = [column for column in seen.texts if len(records) and not isinstance(records[0].cells.get(column), list)]
    return {"columns": [each.as_json() for each in told], "classes": classes,
            "lengths": [_lengths(records, column) for column in texts]}  # fmt: skip


def _lengths(records: Sequence[Record], column: str) -> dict[str, Any]:
    """A histogram of characters; the longest hundredth stands in its last bar."""
    pieces = (records[i : i + _PIECE] for i in range(0, len(records), _PIECE))
    spread = Spread.of(np.array([len(str(r.cells.get(column) or "")) for r in piece]) for piece in pieces)
    end = max(_BARS, int(np.ceil(spread.at(0.99))))
    edges = np.unique(np.linspace(0, end, _BARS + 1).astype(int))
    counts = np.add.reduceat(np.pad(spread.counts, (0, max(0, end - len(spread.counts)))), edges[:-1])
    return {"column": column, "unit": "characters", "edges": edges.tolist(), "counts": counts.tolist(),
            "cut": spread.largest > end, "largest": spread.largest}  # fmt: skip


def _task_of(table: Table) -> Task | None:
    """The task that the columns of a file speak of by themselves."""
    columns = set(table.columns)
    if {"tokens", "tags"} <= columns:
        return TASKS.make("tag")
    if {"chosen", "rejected"} <= columns:
        return TASKS.make("prefer")
    talks = columns & {"messages", "conversations"} or {"instruction", "output"} <= columns
    return TASKS.make("generate") if talks else None


@dataclass(frozen=True)
class Deep:
    """What the dear checks of `data check` are given."""

    held_out: Sequence[Record] = ()
    states: States | None = None
    settings: Settings = field(default_factory=dict)


def findings_in(records: Sequence[Record], roles: Roles, task: Any, deep: Deep | None = None) -> list[dict[str, Any]]:
    """What is doubtful in rows; answers in words are no classes, and one question may have many: a row that repeats
    another one has its answer, too. None of the dear checks unless `deep` is given."""
    if task is not None and (strands := task.strands(records, roles)):
        own = None if deep is None else replace(deep, held_out=())  # their tasks are not told apart here
        return [found for each in strands for found in findings_in(each.records, each.roles, each.task, own)]
    open_answers = _open(task)
    asked, given = replace(roles, label=None) if open_answers else roles, deep or Deep()
    found = check(records, asked, given.held_out, thorough=deep is not None, states=given.states,
                  settings=given.settings, spoken=(roles.label,) if open_answers and roles.label else ())  # fmt: skip
    if open_answers:
        found = [f for f in found if f.kind != "duplicates"]
        whole = Seen(whole_rows(records, asked), roles)
        found += [f for f in Repeats(name="repeats").look(whole) if f.kind == "duplicates"]
    told = (f if f.column is None else replace(f, column=f.column.removeprefix(MADE)) for f in by_severity(found))
    return [f.as_json() for f in told]


def _open(task: Any) -> bool:
    """Whether answers are words, which are no classes."""
    return task is not None and task.kind in ("text", "pairs")


def audit_in(task: Task, train: Sequence[Record], held: dict[str, Sequence[Record]], roles: Roles, seed: int) -> Audit:
    """The audit of a division; of several tasks, each with its own rows."""
    parts = {each.name: each for each in task.strands(train, roles)}
    if parts:
        others = {
            split: {each.name: each.records for each in task.strands(rows, roles)} for split, rows in held.items()
        }
        return joined_audits(
            audit_in(each.task, each.records, {s: own[name] for s, own in others.items()}, each.roles, seed).named(name)
            for name, each in parts.items()
        )
    return audit(train, held, replace(roles, label=None) if _open(task) else roles, seed)


def _states(found: Found | None, roles: Roles, task: Any, progress: Progress | None) -> tuple[States | None, list[str]]:
    """(what reads rows with the named base, a note where it does not)."""
    if found is None or not roles.texts or DIALOGUE in roles.texts:
        return None, []
    from tunesmith.bases.family import family_of
    from tunesmith.evaluation.states import states_by, too_large

    try:
        family_of(found.model_type, "classify", found.config)
    except TunesmithError as error:
        return None, [f"odd rows are looked for by words and letters: {error}"]
    if too_large(found):
        return None, [f"{found.name} is too large to be run on data that are looked at: odd rows by words and letters"]
    return states_by(found, roles, progress or Progress(silent=True)), []


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
        "truncation": _truncation(lengths),
    }  # fmt: skip
    findings = []
    if warning := fits.warning(found.name, writes=task is not None and task.talks):
        findings.append({"kind": "base_language", "rows": len(records), "column": roles.texts[0],
                         "severity": "warning", "remedy": warning, "listed": []})  # fmt: skip
    special = special_tokens(records, roles, tokenizer, task)
    return about, findings + ([special] if special else [])


def _truncation(lengths: Spread) -> list[dict[str, Any]]:
    """[{max_tokens, rows, share}]: what each limit would cut, until one that cuts nothing."""
    counts, found = lengths.counts, []
    total = max(1, int(counts @ np.arange(len(counts))))
    for limit in _LIMITS:
        over = np.maximum(np.arange(len(counts)) - limit, 0)
        found.append({"max_tokens": limit, "rows": int(counts[over > 0].sum()), "share": float(counts @ over) / total})
        if not found[-1]["rows"]:
            break
    return found


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
    return {"kind": "special_tokens", "rows": rows, "column": roles.texts[0], "severity": "warning", "remedy": remedy,
            "listed": []}  # fmt: skip


def _texts(records: Sequence[Record], roles: Roles) -> list[str]:
    return [text_of(r, roles.texts[0]) for r in records]

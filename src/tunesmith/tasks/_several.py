"""Rows of several tasks as rows of one: named alike, laid together, and what each task makes of its own.

    task       tunesmith:task    tunesmith:text      tunesmith:label
    failure    failure           the pump leaks      leak                 the other columns stay as the file has them
    hours      hours             the pump leaks      2.5

Shape letters: N rows, K columns of targets.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np

from tunesmith import scratch
from tunesmith.data import Record, Roles, stored
from tunesmith.data.format import listed
from tunesmith.data.ledger import Ledger
from tunesmith.data.roles import text_of
from tunesmith.errors import TunesmithError, unknown
from tunesmith.tasks import Array, Encoded, Facts, Share, Tick, _text
from tunesmith.tasks._parts import LEAD, Index

TASK, TEXT, PAIR, LABEL = "tunesmith:task", "tunesmith:text", "tunesmith:pair", "tunesmith:label"
NAMED = "task"
"""Column by which a file says which task a row is for."""
Inner = Any
"""A task with a head over texts: one with the settings of `TextTask`."""
Tasks = Mapping[str, Inner]


def objection(task: Inner, plan: Any) -> str | None:
    """Why a task cannot be one of several."""
    if task.kind not in ("classes", "multilabel", "numbers") or not isinstance(task, _text.TextTask):
        return f"{task.name} has no outputs that could stand beside others'. Take classify, multilabel or regress"
    if task.purpose("") != "classify":
        return "readout: verbalizer reads words of a language model and has no head. Take readout: head"
    if task.pool != "base":
        return "pool says what the head reads, and there is one head. Set task.pool"
    if task.vector:
        return "side: vector reaches the head, which other tasks share. Take side: text"
    return task.objection(plan)


@contextmanager
def told(name: str, task: Inner = None) -> Iterator[None]:
    """Mistakes in the rows of one task name it, and the columns as the user has them."""
    try:
        yield
    except TunesmithError as error:
        text = str(error)
        for ours, column in ((TEXT, "text"), (PAIR, "pair"), (LABEL, "label")):
            text = text.replace(ours, str(getattr(task, column, None) or column))
        raise type(error)(f"task.tasks.{name}: {text.removeprefix('task.')}") from error


def own(task: Inner) -> Inner:
    """The task on rows that are named as here."""
    return task.model_copy(update={"text": TEXT, "pair": PAIR if task.pair else None, "label": LABEL})


def roles_of(task: Inner, roles: Roles) -> Roles:
    """What that one reads; with a label where the roles have one."""
    alone: Roles = own(task).roles(labelled=roles.label is not None)
    return replace(alone, group=roles.group)


def taken_in(name: str, task: Inner, records: Sequence[Record], ledger: Ledger) -> Sequence[Record]:
    """Rows of a file as rows of one task."""

    def made(record: Record) -> Record:
        cells = record.cells
        ours = {TASK: name, TEXT: text_of(record, task.text), LABEL: cells.get(task.label)}
        pair = text_of(record, task.pair) if task.pair else ""
        return replace(record, cells={**cells, **ours, PAIR: pair})

    return stored.records(map(made, task.taken_in(records, ledger)))


def rows_by_task(tasks: Tasks, records: Sequence[Record]) -> dict[str, Sequence[Record]]:
    """Rows of a labelled file that no task was named for, by the task that they are for."""
    columns = list(records[0].cells) if records else []
    if NAMED in columns:
        found: dict[str, list[Record]] = {name: [] for name in tasks}
        for record in records:
            if (name := str(record.cells[NAMED])) not in tasks:
                raise TunesmithError(f"{record.source}:{record.line}: {unknown('task', name, tasks)}")
            found[name].append(record)
        return {name: rows for name, rows in found.items() if rows}
    fitting = [name for name, task in tasks.items() if task.label in columns and task.text in columns]
    labels = [tasks[name].label for name in fitting]
    if not fitting or len(set(labels)) < len(labels):
        wanted = "; ".join(f"{name}: {task.text}, {task.label}" for name, task in tasks.items())
        raise TunesmithError(
            f"{records[0].source if records else 'the file'}: cannot tell which task its rows are for. Add a column "
            f"'{NAMED}' with its name, or the columns of the tasks ({wanted}). Columns: {listed(columns)}"
        )
    return dict.fromkeys(fitting, records)


def to_answer(tasks: Tasks, records: Sequence[Record]) -> Sequence[Record]:
    """Rows to predict: a text column that the file lacks is the one that it has of another task."""
    wanted = dict.fromkeys(task.text for task in tasks.values())

    def made(record: Record) -> Record:
        known = next((c for c in (*wanted, "text") if c in record.cells), None)
        lacking = {c: record.cells[known] for c in wanted if c not in record.cells} if known else {}
        return replace(record, cells=record.cells | lacking) if lacking else record

    return stored.records(map(made, records))


def whole(parts: Mapping[str, Facts]) -> Facts:
    """Facts of all tasks, outputs named TASK.LABEL."""
    labels = tuple(label for name, own in parts.items() for label in _names(name, own))
    counts = {f"{name}.{label}": n for name, own in parts.items() for label, n in own.counts.items()}
    notes = {f"{name}: {what}": note for name, own in parts.items() for what, note in own.notes.items()}
    start: tuple[float, ...] = ()
    if any(own.start for own in parts.values()):
        start = tuple(x for name, own in parts.items() for x in own.start or (0.0,) * len(_names(name, own)))
    return Facts(labels=labels, counts=counts, start=start, parts=dict(parts), notes=notes)


def _names(name: str, facts: Facts) -> list[str]:
    return [f"{name}.{label}" for label in facts.labels] or [name]


def parts(tasks: Tasks, facts: Facts) -> list[Share]:
    """Each task with its facts and its outputs."""
    inner = {name: own(task) for name, task in tasks.items()}
    ends = [0, *accumulate(inner[name].outputs(facts.parts[name]) for name in inner)]
    return [
        Share(name, number, task, facts.parts[name], slice(ends[number], ends[number + 1]))
        for number, (name, task) in enumerate(inner.items())
    ]


def joined(made: Sequence[tuple[Share, Index, Encoded]], count: int, *, labelled: bool) -> Encoded:
    """Rows of all tasks in their own order, each with whose it is and what is true of it."""
    for share, _, encoded in made:
        if encoded.soft is not None:
            raise TunesmithError(
                f"task.tasks.{share.name}: its labels are distributions, which are learnt by a task on its own alone. "
                "Write one label a row"
            )
    whose = [(place, row) for place, (_, rows, _) in enumerate(made) for row in range(len(rows))]
    at = np.argsort(np.concatenate([rows for _, rows, _ in made]), kind="stable")
    store, weights, part = _text.Tokens(), scratch.room(count, np.float32), scratch.room(count, np.int16)
    typed = any(encoded.types is not None for _, _, encoded in made)
    targets = _targets(made, count) if labelled else None
    for piece in _text.pieces(count):
        rows = [whose[i] for i in at[piece].tolist()]
        ids = [made[p][2].ids[r].tolist() for p, r in rows]
        types = [_types(made[p][2], r) for p, r in rows] if typed else None
        store.extend(ids, types, [int(made[p][2].lost[r]) for p, r in rows])
        weights[piece], part[piece] = [made[p][2].weights[r] for p, r in rows], [p for p, _ in rows]
    flat, kinds, lost = store.done()
    notes = tuple(f"{share.name}: {note}" for share, _, encoded in made for note in encoded.notes)
    return Encoded(flat, kinds, lost, targets, None, weights, part=part, notes=notes)


def _types(encoded: Encoded, row: int) -> list[int]:
    found: list[int] = [0] * len(encoded.ids[row]) if encoded.types is None else encoded.types[row].tolist()
    return found


def _targets(made: Sequence[tuple[Share, Index, Encoded]], count: int) -> Array:
    """(N, K): whose a row is, its first output, how many it has, and its value: a class, a number, or one for each
    label."""
    values = [np.asarray(encoded.targets, dtype=np.float32).reshape(len(rows), -1) for _, rows, encoded in made]
    out = _text.table(count, LEAD + max(own.shape[1] for own in values))
    for (share, rows, _), own in zip(made, values, strict=True):
        first, last = share.outputs.start, share.outputs.stop
        out[rows, :LEAD] = (share.number, first, last - first)
        out[rows, LEAD : LEAD + own.shape[1]] = own
    return out


def to_ask(tasks: Tasks, shares: Sequence[Share], records: Sequence[Record], tokenizer: Any, tick: Tick) -> Encoded:
    """Rows that every task answers; those that read a row alike share a pass over it."""
    ways: dict[Any, list[Share]] = {}
    for share in shares:
        task = tasks[share.name]
        ways.setdefault((task.text, task.pair, task.side_columns, task.max_tokens), []).append(share)
    read = []
    for alike in ways.values():
        task = tasks[alike[0].name]
        outputs = [c for share in alike for c in range(share.outputs.start, share.outputs.stop)]
        rows = task.encode(records, task.roles(labelled=False), tokenizer, alike[0].facts, tick)
        read.append((outputs, rows))
    first: Encoded = read[0][1]
    first.views = tuple(read[1:])
    return first

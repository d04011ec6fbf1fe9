"""Labels that are distributions: {"leak": 0.7, "noise": 0.3} in a label's cell, as an object or as JSON in text.

Rows are split, counted, balanced and judged by the likeliest label (of equals the first by name); the loss alone aims
at the distribution. Hard and soft labels may stand in one column. Shape letters: N rows, C classes.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tunesmith import scratch
from tunesmith.data import Record, stored
from tunesmith.data.format import excerpt
from tunesmith.data.record import SOFT, Cell
from tunesmith.errors import TunesmithError
from tunesmith.tasks import Array, Facts

SLACK = 0.01
"""How far a distribution may be from 1 in all, for those who round; then it is made 1."""


def hardened(records: Sequence[Record], column: str) -> Sequence[Record]:
    """Rows with one label each, and beside it the distribution where it was one."""
    if not any(_is_soft(record.cells.get(column)) for record in records):
        return records
    return stored.records(_hard(record, column) for record in records)


def _is_soft(cell: Cell) -> bool:
    return isinstance(cell, dict) or (isinstance(cell, str) and cell.lstrip().startswith("{") and ":" in cell)


def _hard(record: Record, column: str) -> Record:
    if not _is_soft(record.cells.get(column)):
        return record
    share = _shares_of(record, column)
    likeliest = min(share, key=lambda label: (-share[label], label))
    soft: dict[str, Cell] = {**share}
    return replace(record, cells=record.cells | {column: likeliest, SOFT: soft})


def _shares_of(record: Record, column: str) -> dict[str, float]:
    """{label: share} of a row, adding up to 1. Raises TunesmithError where it is no distribution."""
    cell = record.cells[column]
    try:
        found = json.loads(cell) if isinstance(cell, str) else cell
    except (ValueError, RecursionError):
        found = None
    pairs: dict[str, Any] = found if isinstance(found, dict) else {}
    fine = isinstance(found, dict) and all(
        str(label).strip() and isinstance(share, int | float) and not isinstance(share, bool) and 0 <= share <= 1
        for label, share in pairs.items()
    )
    total = math.fsum(pairs.values()) if fine else math.nan
    if not fine or abs(total - 1) > SLACK:
        shown = cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
        why = f"shares add up to {total:g}" if fine else "not an object of labels and shares from 0 to 1"
        raise TunesmithError(
            f"{record.place}: column '{excerpt(column)}': {why}: '{excerpt(shown)}'. "
            'Write {"leak": 0.7, "noise": 0.3}, or one label'
        )
    return {label: share / total for label, share in pairs.items() if share > 0}


def names(records: Sequence[Record]) -> set[str]:
    """All labels that have a share somewhere."""
    return {label for record in records if isinstance(soft := record.cells.get(SOFT), dict) for label in soft}


def shares(records: Sequence[Record], targets_N: Array | None, facts: Facts) -> tuple[Array | None, tuple[str, ...]]:
    """((N, C) float32 to aim at, or None where all labels are hard; notes). What a row gives labels that training never
    saw is spread over the others, and told."""
    count = sum(isinstance(record.cells.get(SOFT), dict) for record in records)
    if not count or targets_N is None:
        return None, ()
    number, strange = {label: i for i, label in enumerate(facts.labels)}, 0
    aims = scratch.room(len(records) * len(number), np.float32).reshape(len(records), len(number))
    for row, record in enumerate(records):
        soft = record.cells.get(SOFT)
        if not isinstance(soft, dict):
            if targets_N[row] >= 0:
                aims[row, targets_N[row]] = 1
            continue
        known = {number[label]: float(share) for label, share in soft.items() if label in number}  # type: ignore[arg-type]
        strange += len(known) < len(soft)
        for place, share in known.items():
            aims[row, place] = share / math.fsum(known.values())
    notes = [
        f"{count} of {len(records)} labels are distributions: the loss aims at them, metrics at the likeliest label"
    ]
    if strange:
        notes.append(
            f"{strange} of them name labels that no training row has; their shares were spread over the others"
        )
    return aims, tuple(notes)

"""`data agree`: how far annotators agree, and what they say together, written as labels to learn from."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.data.record import Cell
from tunesmith.data.table import Table, read
from tunesmith.data.writing import require_writable, write
from tunesmith.errors import TunesmithError
from tunesmith.labelling.annotations import Annotations, Floats, Scale, from_columns, from_long
from tunesmith.labelling.consensus import How, agreed
from tunesmith.labelling.measured import PAIRS_OF, measured

SHOWN = 10
ADDED = ("consensus", "confidence", "uncertain", "soft")
"""Columns that `out` has beside those of the file; `soft` is a distribution that `classify` learns from."""


@dataclass(frozen=True)
class Agree:
    """What is asked of a file of annotations: columns of annotators, or one row a label."""

    annotators: tuple[str, ...] = ()
    item: str | None = None
    annotator: str | None = None
    label: str | None = None
    scale: Scale = "nominal"
    order: tuple[str, ...] = ()
    how: How = "majority"
    sure: float = 0.8
    """A consensus of a lower probability is listed as uncertain."""
    out: Path | None = None
    resamples: int = 1000
    level: float = 0.95

    def read(self, table: Table) -> Annotations:
        """The annotations of a table. Raises TunesmithError where it is not said where they are."""
        named = (self.item, self.annotator, self.label)
        if self.annotators and any(named):
            raise TunesmithError("annotators: a column for each, or rows of item, annotator and label; not both")
        if self.annotators:
            return from_columns(table, self.annotators, self.scale, self.order)
        if self.item is None or self.annotator is None or self.label is None:
            raise TunesmithError(
                "who said what? Pass --annotators a,b,c (a column each), or --item, --annotator and --label for a "
                f"table of single labels. Columns: {', '.join(table.columns)}"
            )
        return from_long(table, self.item, self.annotator, self.label, self.scale, self.order)


def agree_in(path: Path, asked: Agree) -> dict[str, Any]:
    """The reply of `data agree`; where there is an `out`, it gets a row for each item."""
    if asked.out is not None:
        require_writable(asked.out, path)
    table = read(path)
    said = asked.read(table)
    share_NC = agreed(said, asked.how)
    notes = _notes(said)
    rows = _rows(said, share_NC, asked.sure)
    uncertain = sorted((row for row in rows if row["uncertain"]), key=lambda row: float(row["confidence"]))
    if asked.out is not None:
        notes += _write(asked.out, table, asked, said, rows)
    about = {"rows": len(table.rows), "items": len(said.items), "labels": list(said.labels), "scale": asked.scale}
    told = {"how": asked.how, "uncertain": len(uncertain), "sure": asked.sure, "first": uncertain[:SHOWN],
            "out": None if asked.out is None else str(asked.out)}  # fmt: skip
    numbers = measured(said, asked.scale, resamples=asked.resamples, level=asked.level)
    return {"file": str(path), **about, **numbers, "level": asked.level, "consensus": told, "notes": notes}


def _notes(said: Annotations) -> list[str]:
    size_N = said.counts.sum(1)
    notes = []
    if alone := int((size_N == 1).sum()):
        notes.append(f"{alone} items have one label and say nothing about agreement")
    if none := int((size_N == 0).sum()):
        notes.append(f"{none} items have no label, and no consensus")
    if len(said.annotators) > PAIRS_OF:
        notes.append(f"{len(said.annotators)} annotators: pairs are told of up to {PAIRS_OF}; each is held against all")
    return notes


def _rows(said: Annotations, share_NC: Floats, sure: float) -> list[dict[str, Any]]:
    """Each item with its consensus; empty where nobody labelled it."""
    rows = []
    for item, share_C in zip(said.items, share_NC, strict=True):
        found = share_C.sum() > 0
        best = int(share_C.argmax())
        order = np.argsort(-share_C, kind="stable")
        soft = {said.labels[c]: round(float(share_C[c]), 6) for c in order if share_C[c] >= 1e-6}
        rows.append({
            "item": item, "consensus": said.labels[best] if found else "",
            "confidence": round(float(share_C[best]), 6) if found else None,
            "uncertain": bool(found and share_C[best] < sure), "soft": soft if found else "",
        })  # fmt: skip
    return rows


def _write(out: Path, table: Table, asked: Agree, said: Annotations, rows: list[dict[str, Any]]) -> list[str]:
    """Columns of the file, then ours. Of a table of single labels those columns that say one thing of an item; notes
    say which are left out."""
    if taken := [name for name in ADDED if name in table.columns]:
        raise TunesmithError(
            f"{table.source}: has a column '{taken[0]}' of its own, where the consensus goes. Rename it"
        )
    notes: list[str] = []
    if asked.annotators:
        kept = [cells for _, cells in table.rows]
        columns = list(table.columns)
    else:
        columns, kept = _of_items(table, asked, said.items)
        if left := [c for c in table.columns if c not in columns and c not in (asked.annotator, asked.label)]:
            notes.append(f"columns that differ within an item are left out of {out}: {', '.join(left)}")
    ours = [{**row, "soft": json.dumps(row["soft"], ensure_ascii=False) if row["soft"] else ""} for row in rows]
    write(out, [*columns, *ADDED], [{**cells, **row} for cells, row in zip(kept, ours, strict=True)])
    return notes


def _of_items(table: Table, asked: Agree, items: Sequence[str]) -> tuple[list[str], list[dict[str, Cell]]]:
    """(columns that say one thing of each item, the cells of each item)."""
    first: dict[str, dict[str, Cell]] = {}
    columns = [c for c in table.columns if c not in (asked.annotator, asked.label)]
    for _, cells in table.rows:
        known = first.setdefault(str(cells[asked.item or ""]).strip(), cells)
        columns = [c for c in columns if known.get(c) == cells.get(c)]
    return columns, [{c: first[item].get(c) for c in columns} for item in items]

"""What the metrics are worth without held-out rows that are nearly training rows."""

from collections.abc import Mapping
from typing import Any

from tunesmith.evaluation.report_blocks import Block, Cell, Note, Table, cell, count, fixed, measured, title_of
from tunesmith.evaluation.report_read import Results


def without_leaks(results: Results, split: str) -> list[Block]:
    """The metrics of a split on all its rows and on those without a near twin; a line where none has one."""
    found: Mapping[str, Any] = (results.measured.get("without_leaks") or {}).get(split) or {}
    if not found:  # a run of before this was measured
        return []
    if reason := found.get("skipped"):
        return [Note(f"Near-duplicates between {split} and the training rows were not looked for: {reason}.")]
    told = (results.data.get("near") or {}).get("splits", {}).get(split, {})
    crowded = told.get("crowded")
    unsure = f" {count(crowded, 'row')} too common in wording to be compared with all others." if crowded else ""
    left_out = found["left_out"]
    files = told.get("files")
    if not left_out:
        none = "brings a file of" if files else "is a near-duplicate of"
        return [Note(f"No row of {split} {none} a training row.{unsure}")]
    rows = [
        [Cell(title_of(name)), measured(raw), measured((found.get("metrics") or {}).get(name))]
        for name, raw in results.measured["metrics"][split].items()
    ]
    whole = left_out + found["rows"]
    header = ["Metric", f"All {count(whole, 'row')}", f"The {count(found['rows'], 'row')} without a near twin"]
    lead = (
        f"{left_out} of {count(whole, 'row')} of {split} ({left_out / whole:.1%}) "
        f"{'bring a file of' if files else 'are near-duplicates of'} training "
        f"rows: the model may know them by heart. Where the two columns differ, believe the right one.{unsure}"
    )
    return [Note(lead, "bad"), Table(f"{split.capitalize()} without leaks", header, rows), *_listed(told, split)]


def _listed(told: Mapping[str, Any], split: str) -> list[Block]:
    pairs = told.get("listed") or []
    rows = [[Cell(one["row"]), Cell(one["twin"]), cell(fixed(one["similarity"]))] for one in pairs]
    header = [f"Row of {split}", "Training row", "Similarity"]
    title = "Rows with one file" if told.get("files") else "Near-duplicates, the most alike first"
    return [Table(title, header, rows, folded=True, words=(0, 1))] if rows else []

"""Section on answers with a shape: how many conform to the schema, what the constraint changed, each field's F1."""

from typing import Any

from tunesmith.evaluation.report_blocks import Block, Cell, Note, Section, Table, cell, count, measured, title_of
from tunesmith.evaluation.report_read import Results


def structured(results: Results) -> Section:
    """Nothing where the plan has no schema."""
    found = results.measured.get("structure") or {}
    if not found:
        return Section("structure", "Answers with a shape", [])
    blocks: list[Block] = [_conforming(results, found)]
    if told := _completed(found["account"]):
        blocks.append(Note(told))
    if found["fields"]:
        blocks.append(_fields(found["fields"]))
    return Section("structure", "Answers with a shape", blocks)


def _conforming(results: Results, found: dict[str, Any]) -> Table:
    names = list(found["constrained"])
    rows = [[Cell(title_of(n)), measured(found["constrained"][n]), measured(found["free"][n])] for n in names]
    header = ["Share of answers", "With the schema", f"Without, {count(found['free_rows'], 'row')}"]
    return Table(f"Conforming answers, {count(found['rows'], 'row')}, with {results.percent} intervals", header, rows)


def _completed(account: dict[str, int]) -> str:
    if not account["closed"]:
        return ""
    told = (
        f"{account['closed']} of {count(account['rows'], 'answer')} had spent their tokens before they were complete. "
        "They were completed as short as the schema allows, without the model: raise task.decode.max_new_tokens."
    )
    return told + (f" {account['open']} could not be completed and do not conform." if account["open"] else "")


def _fields(fields: list[dict[str, Any]]) -> Table:
    rows = [
        [Cell(f["field"]), cell(f["wanted"]), cell(f["precision"]), cell(f["recall"]), cell(f["f1"])] for f in fields
    ]
    return Table("Fields, by frequency", ["Field", "Wanted", "Precision", "Recall", "F1"], rows, folded=len(rows) > 15)

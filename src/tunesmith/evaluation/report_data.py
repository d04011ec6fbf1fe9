"""Sections on data: what became of every input row, classes, text lengths, what looked doubtful."""

from collections.abc import Mapping
from typing import Any

from tunesmith.evaluation.plots import number
from tunesmith.evaluation.report_blocks import Block, Cell, Note, Pairs, Points, Section, Table, cell, count, percent
from tunesmith.evaluation.report_read import Results

FATES = {
    "train": "kept: learnt from",
    "validation": "kept: chose the best weights",
    "test": "kept: judged once, at the end",
    "unplaced": "kept, but in no split",
    "duplicate": "left out: repeats another row",
    "dropped": "left out: a step or a rule removed it",
    "malformed": "left out: could not be read",
}
MANY = 25


def data_section(results: Results) -> Section:
    """Files, ledger, lengths and findings."""
    blocks: list[Block] = []
    if ledger := results.data.get("ledger"):
        blocks += _ledger(ledger)
    blocks += _files(results.data.get("files") or [])
    blocks += _tokens(results.data.get("tokens") or {})
    blocks += _findings(results.data, results.warnings)
    return Section("data", "Data", blocks)


def _ledger(ledger: Mapping[str, Any]) -> list[Block]:
    rows, counts = int(ledger.get("rows", 0)), fates(ledger)
    body = [
        [Cell(fate, FATES.get(fate, "")), Cell(number(num)), _share(num, rows)] for fate, num in counts.items() if num
    ]
    total = sum(counts.values())
    body.append([Cell("all"), Cell(number(total)), Cell("")])
    blocks: list[Block] = [Table("What became of each input row", ["Fate", "Rows", "Share"], body, total=True)]
    if total == rows:
        blocks.append(Note(f"It adds up: {count(rows, 'row')} went in, and each is accounted for."))
    else:
        blocks.append(Note(f"It does not add up: {count(rows, 'row')} went in, {number(total)} are told of.", "bad"))
    if reasons := ledger.get("reasons"):
        listed = [[Cell(reason), cell(num)] for reason, num in reasons.items()]
        blocks.append(Table("Why rows were left out", ["Reason", "Rows"], listed, folded=len(listed) > 8))
    if changes := ledger.get("changes"):
        altered = [[Cell(f"{step}: {what}"), cell(n)] for step, done in changes.items() for what, n in done.items()]
        blocks.append(Table("What steps altered in rows that stayed", ["Step", "Times"], altered))
    return blocks + [_told_by(step, rows) for step, rows in (ledger.get("told") or {}).items() if rows]


def _told_by(step: str, rows: list[Mapping[str, Any]]) -> Block:
    """What a step tells beside counts, as it tells it."""
    header = [name.capitalize() for name in rows[0]]
    return Table(f"Step {step}", header, [[_plain(value) for value in row.values()] for row in rows], words=(0,))


def _plain(value: Any) -> Cell:
    return Cell(value) if isinstance(value, str) else cell(value)


def _share(num: int, rows: int) -> Cell:
    return Cell(percent(num / rows, 1), "", num / rows) if rows else Cell("–")


def fates(ledger: Mapping[str, Any]) -> dict[str, int]:
    """Rows by fate, in the order of a row's way; they should add up to the rows that went in."""
    # `data.ledger` calls them fates; 'truncated' is no fate, because such rows stay in their split.
    counts = ledger.get("counts") or ledger.get("fates") or {}
    known = {fate: int(counts[fate]) for fate in FATES if fate in counts}
    return known | {fate: int(n) for fate, n in counts.items() if fate not in known and fate != "truncated"}


def _files(files: list[Mapping[str, Any]]) -> list[Block]:
    if not files:
        return []
    rows = [
        [Cell(str(f.get("name", "")), "; ".join(f.get("notes") or [])), cell(f.get("rows")),
         Cell(str(f.get("sha256", ""))[:16])]
        for f in files
    ]  # fmt: skip
    return [Table("Files", ["File", "Rows", "sha256, first 16"], rows, words=(0, 2))]


def _tokens(tokens: Mapping[str, Any]) -> list[Block]:
    if not tokens:
        return []
    lost, cut = tokens.get("tokens_lost"), tokens.get("truncated_rows")
    words = {"median": "Median length", "p95": "95 of 100 texts are no longer than", "max": "Longest"}
    pairs = [(name, count(round(tokens[k]), "token")) for k, name in words.items() if tokens.get(k) is not None]
    if cut is not None:
        told = f"{count(cut, 'row')}, {count(lost or 0, 'token')} not seen" if cut else "no row"
        pairs.append(("Cut to fit", told))
    if (share := tokens.get("unknown_share")) is not None:
        pairs.append(("Tokens the base does not know", percent(share, 1)))
    if (pieces := tokens.get("pieces_per_word")) is not None:
        pairs.append(("Pieces a word is cut into", f"{number(round(pieces, 2))} on average"))
    return [Pairs(pairs, "Lengths, in tokens (the pieces that the base reads)")]


def _findings(data: Mapping[str, Any], warned: list[str]) -> list[Block]:
    findings = data.get("findings") or []
    told = [(_heading(f), str(f.get("remedy") or "")) for f in findings]
    told += [(str(note), "") for note in data.get("notes") or [] if note not in warned]
    return [Points("What was noticed in the data", told)] if told else []


def _heading(finding: Mapping[str, Any]) -> str:
    column = f", column “{finding['column']}”" if finding.get("column") else ""
    rows = f", {count(finding['rows'], 'row')}" if finding.get("rows") is not None else ""
    return f"{str(finding.get('kind', '')).replace('_', ' ')}{column}{rows}"


def balance(results: Results) -> Section:
    """How many rows each class has in each split."""
    labels: Mapping[str, Mapping[str, int]] = results.data.get("labels") or _counted(results)
    if not labels:
        return Section("classes", "Class balance")
    splits = [s for s in ("train", "validation", "test") if any(found.get(s) for found in labels.values())]
    if not splits:
        return Section("classes", "Class balance", [Note("No class has a row.", "bad")])
    most = max(found.get(splits[0], 0) for found in labels.values())
    ordered = sorted(labels.items(), key=lambda one: (-sum(one[1].values()), one[0]))
    rows = [
        [Cell(label), *(Cell(number(found.get(s, 0))) for s in splits),
         Cell("", "", found.get(splits[0], 0) / most if most else 0.0)]
        for label, found in ordered
    ]  # fmt: skip
    noun, what = ("Type", "Spans by type") if results.kind == "tags" else ("Class", "Rows by class and split")
    header = [noun, *(s.capitalize() for s in splits)]
    table = Table(what, [*header, ""], rows, folded=len(rows) > MANY)
    told = [] if results.kind == "tags" else [Note(_told(ordered, splits))]
    return Section("classes", "Class balance", [*told, table])


def _counted(results: Results) -> dict[str, dict[str, int]]:
    return {str(label): {"train": int(num)} for label, num in (results.facts.get("counts") or {}).items()}


def _told(ordered: list[tuple[str, Mapping[str, int]]], splits: list[str]) -> str:
    sizes = {label: found.get(splits[0], 0) for label, found in ordered}
    large, small = (pick(sizes, key=lambda k: sizes[k]) for pick in (max, min))
    if not sizes[small]:
        return f"“{small}” has no row in {splits[0]}: it cannot be learnt."
    ratio = sizes[large] / sizes[small]
    if ratio < 1.5:
        return f"The classes are about equally large in {splits[0]} ({sizes[small]} to {count(sizes[large], 'row')})."
    told = f"The largest class (“{large}”) has {number(round(ratio, 1))} times the rows of the smallest (“{small}”)."
    advice = " Accuracy mostly speaks of the large ones; balanced accuracy and macro F1 treat all alike."
    return told + (advice if ratio > 3 else "")

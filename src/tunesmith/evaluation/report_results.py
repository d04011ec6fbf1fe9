"""Sections on results: metrics with intervals beside the baselines, comparisons, slices, warnings."""

from collections.abc import Mapping
from typing import Any

from tunesmith.evaluation.plots import Whisker, number, whiskers
from tunesmith.evaluation.report_blocks import (
    Block,
    Cell,
    Figure,
    Figures,
    Note,
    Points,
    Section,
    Table,
    baseline_name,
    cell,
    count,
    meaning_of,
    measured,
    p_value,
    title_of,
)
from tunesmith.evaluation.report_leaks import without_leaks
from tunesmith.evaluation.report_read import Results
from tunesmith.evaluation.report_verdict import Paired, paired

MODEL = "this model"
HOW_PAIRED = (
    "Difference: this model minus the alternative. p: how often chance alone would make a difference as large; the "
    "more comparisons there are, the easier one stands out by chance, and the corrected p takes that into account. "
    "Below 0.05 it counts as beyond chance."
)


def warnings(results: Results) -> Section:
    """What went wrong or is doubtful, each with what can be done."""
    told = [_with_cure(text) for text in results.warnings]
    findings = [f for f in results.data.get("findings") or [] if f.get("severity") != "info"]
    told += [(str(f.get("kind", "")).replace("_", " "), str(f.get("remedy") or "")) for f in findings]
    if not told:
        return Section("warnings", "Warnings", [Note("None: no alarm rang and nothing in the data looked doubtful.")])
    return Section("warnings", "Warnings", [Points(count(len(told), "warning"), told, "bad")])


def _with_cure(text: str) -> tuple[str, str]:
    for word in ("Cures:", "Cure:", "Try "):
        head, found, tail = text.partition(word)
        if found and head:
            return head.rstrip(), f"{word}{tail}"
    return text, ""


def results_section(results: Results) -> Section:
    """All metrics of all splits, with the baselines beside them."""
    splits = results.measured.get("metrics") or {}
    if not splits:
        return Section("results", "Results", [Note("No metrics were stored for this run.", "bad")])
    blocks: list[Block] = [_pictures(results)]
    # The split that counts comes first.
    for split in sorted(splits, key=lambda name: name != results.split):
        blocks += [_table(results, split), *without_leaks(results, split)]
    if comparisons := [c for c in paired(results) if c.value is not None]:
        blocks += [_comparisons(comparisons), Note(HOW_PAIRED)]
    return Section("results", "Results", blocks)


def _pictures(results: Results) -> Figures:
    names = list(results.measured["metrics"].get(results.split, {}))
    figures = []
    for metric in names:
        if not results.of(metric):
            continue
        rows = [_whisker(MODEL, results.of(metric), "s1")]
        rows += [_whisker(baseline_name(b), results.of(metric, b), "s2") for b in results.measured.get("baselines", {})]
        lower = results.measured.get("better", {}).get(metric) == "lower"
        alt = "; ".join(f"{r.name} {'undefined' if r.value is None else number(r.value)}" for r in rows)
        title = f"{title_of(metric)}{' (lower is better)' if lower else ''}"
        picture = whiskers(rows, f"{title} on {results.split}: {alt}")
        figures.append(Figure(title, picture, "", what=_sentence(meaning_of(metric))))
    how = (
        f"The dot is the measured value. The line is its {results.percent} interval: with other rows of the same kind, "
        "the value would lie about there. Where two lines overlap much, the two may be equally good; the paired "
        "comparison below decides it more sharply."
    )
    return Figures(figures, how)


def _sentence(clause: str) -> str:
    return f"{clause[:1].upper()}{clause[1:]}." if clause else ""


def _whisker(name: str, found: Mapping[str, Any], style: str) -> Whisker:
    return Whisker(name, found.get("value"), found.get("low"), found.get("high"), style)


def _table(results: Results, split: str) -> Table:
    baselines = results.measured.get("baselines") or {}
    rows = []
    for metric, found in results.measured["metrics"][split].items():
        lower = results.measured.get("better", {}).get(metric) == "lower"
        beside = [measured(tables.get(split, {}).get(metric)) for tables in baselines.values()]
        rows.append([Cell(title_of(metric), "lower is better" if lower else ""), measured(found), *beside])
    rows_told = f", {count(len(results.parts[split]), 'row')}" if split in results.parts else ""
    caption = f"{split.capitalize()}{rows_told}, with {results.percent} intervals"
    return Table(caption, ["Metric", "This model", *(baseline_name(b).capitalize() for b in baselines)], rows,
                 folded=split != results.split)  # fmt: skip


def _comparisons(comparisons: list[Paired]) -> Table:
    rows = []
    for one in comparisons:
        difference = measured({"value": one.value, "low": one.low, "high": one.high})
        answer = ("better" if one.gain > 0 else "worse") if one.beyond_chance else "cannot tell"
        rows.append(
            [
                Cell(baseline_name(one.baseline), f"{title_of(one.metric)}, {one.split}"), difference,
                cell(None if one.p is None else p_value(one.p)[2:].strip("\u00a0=")),
                cell(None if one.adjusted is None else p_value(one.adjusted)[2:].strip("\u00a0=")),
                Cell(answer, one.test.replace("_", " ")),
            ]
        )  # fmt: skip
    header = ["Compared with", "Difference", "p", "p, corrected", "This model is"]
    return Table("Paired comparison, on the same rows", header, rows, words=(0, 4))


def slices(results: Results) -> Section:
    """Metrics by the values of the columns that the plan names."""
    blocks: list[Block] = []
    for column, values in (results.measured.get("slices") or {}).items():
        names = list(dict.fromkeys(k for found in values.values() for k in found if k != "rows"))[:4]
        rows = [
            [cell(value or "(empty)"), cell(found.get("rows")), *(measured(found.get(name)) for name in names)]
            for value, found in values.items()
        ]
        header = [column, "Rows", *(title_of(name) for name in names)]
        blocks.append(Table(f"By {column}", header, rows, folded=len(rows) > 15))
    if blocks:
        told = "Is it equally good everywhere? Small groups have wide intervals: read the interval before the value."
        blocks.insert(0, Note(told))
    return Section("slices", "By group", blocks)

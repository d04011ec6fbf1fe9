"""Section on perturbed texts: what typing mistakes, capitals, scanning and cutting cost."""

from typing import Any

from tunesmith.evaluation.report_blocks import Block, Cell, Note, Section, Table, cell, count, measured, title_of
from tunesmith.evaluation.report_read import Results
from tunesmith.evaluation.robustness import sentence

TITLE = "When texts come otherwise"
MEANINGS = {
    "keyboard": "a letter beside the right one in {degree:.0%} of the words",
    "slip": "a letter left out, doubled or swapped in {degree:.0%} of the words",
    "ocr": "what scanners confuse, in {degree:.0%} of the words",
    "sound": "{degree:.0%} of the Chinese characters replaced by ones that sound alike",
    "shape": "{degree:.0%} of the Chinese characters replaced by ones that look alike",
    "upper": "all in capitals", "lower": "no capitals", "punctuation": "no punctuation",
    "cut": "the first {degree:.0%} of the words",
}  # fmt: skip


def robustness(results: Results) -> Section:
    """The metric on clean and on perturbed copies of the judged rows."""
    found = results.measured.get("robustness")
    if not found:
        return Section("robustness", TITLE, [])
    metric, split = found["metric"], found["split"]
    rows = [
        [Cell("as they are"), cell(0), measured(results.measured["metrics"][split].get(metric)), Cell(""), Cell("")]
    ]
    rows += [_row(label, each, metric) for label, each in found["perturbations"].items() if "skipped" not in each]
    skipped = [label for label, each in found["perturbations"].items() if "skipped" in each]
    header = ["Texts", "Rows changed", title_of(metric), "Difference", "p, corrected"]
    caption = f"{title_of(metric)} on {count(found['rows'], 'row')} of {split}, with {results.percent} intervals"
    bad = found["worst"] and found["worst"]["beyond_chance"]
    blocks: list[Block] = [Note(sentence(found), "bad" if bad else "plain"), Table(caption, header, rows)]
    if skipped:
        blocks.append(Note(f"Left out, because they change no text of these rows: {', '.join(skipped)}."))
    return Section("robustness", TITLE, blocks)


def meaning(each: dict[str, Any]) -> str:
    """A perturbation in words."""
    return MEANINGS[each["name"]].format(degree=each["degree"])


def _row(label: str, each: dict[str, Any], metric: str) -> list[Cell]:
    p = each.get("p_holm")
    return [
        Cell(label, meaning(each)), cell(each["rows_changed"]), measured(each["metrics"].get(metric)),
        measured(each["difference"]), Cell("–" if p is None else f"{p:.3f}"),
    ]  # fmt: skip

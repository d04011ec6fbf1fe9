"""Section on two domains: how far apart they are before and after, and which rows are which."""

from typing import Any

from tunesmith.evaluation.report_blocks import Block, Cell, Note, Section, Table, measured
from tunesmith.evaluation.report_read import Results

TITLE = "How far apart source and target are"
TOLD = {
    "before": "Before training", "source": "After training on the source alone", "after": "After this run",
}  # fmt: skip


def domains(results: Results) -> Section:
    """The proxy A-distance of each model."""
    found = results.measured.get("domains")
    if not found:
        return Section("domains", TITLE, [])
    rows = [[Cell(told), measured(found[name])] for name, told in TOLD.items() if name in found]
    caption = f"Proxy A-distance with {results.percent} intervals: 2, always told apart; 0, never"
    blocks: list[Block] = [Table(caption, ["Model", "Distance"], rows), Note(_told(found))]
    return Section("domains", TITLE, blocks)


def _told(found: dict[str, Any]) -> str:
    where = "test rows" if found["target"] == "test" else "target rows that were learnt from"
    how = (
        f"A linear model was asked to tell {found['rows']} validation rows from as many {where}, by what the output "
        "layer is given, in five folds."
    )
    before, after = found["before"]["value"], found["after"]["value"]
    if before is None or after is None:
        return f"{how} There are too few rows for it."
    nearer = "nearer to each other than" if after < before else "no nearer to each other than"
    return (
        f"{how} They are {nearer} they were. Nearer is not better by itself: what tells labels apart may go with what "
        "tells domains apart. The figure to trust is the metric on labelled rows of the target."
    )

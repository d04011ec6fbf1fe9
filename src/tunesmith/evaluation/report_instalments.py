"""Section on learning in instalments: what is still known of each batch of data after each."""

from typing import Any

from tunesmith.evaluation.report_blocks import Block, Cell, Note, Section, Table, count, measured, title_of
from tunesmith.evaluation.report_read import Results

TITLE = "What it still knows of earlier data"


def instalments(results: Results) -> Section:
    """The matrix, and what it comes to."""
    found = results.measured.get("instalments")
    if not found:
        return Section("instalments", TITLE, [])
    names, tests = found["names"], found["rows"]
    header = ["After"] + [f"on {i}" for i in range(1, len(names) + 1)]
    rows = [
        [Cell(f"{i}. {name}", "this run" if i == len(names) else ""), *map(measured, values),
         *[Cell("") for _ in range(len(names) - len(values))]]
        for i, (name, values) in enumerate(zip(names, found["values"], strict=True), 1)
    ]  # fmt: skip
    caption = f"{title_of(found['metric'])} on the held-out rows of each instalment, with {results.percent} intervals"
    blocks: list[Block] = [Table(caption, header, rows), Note(_told(found, tests))]
    return Section("instalments", TITLE, blocks)


def _told(found: dict[str, Any], tests: list[int]) -> str:
    held = f"Judged on {', '.join(count(n, 'row') for n in tests)} that the model kept of each instalment."
    moved, lost = found["backward_transfer"], found["forgetting"]
    if moved is None or lost is None:
        why = "This is the first instalment." if len(tests) == 1 else "On no earlier data was it defined twice."
        return f"{why} {held}"
    way = "better" if moved > 0 else "worse"
    return (
        f"On earlier data it is {abs(moved):.3f} {way}, on average, than when it had just learnt them (backward "
        f"transfer), and {lost:.3f} below the best it ever was on them (forgetting). {held}"
    )

"""Section on learning in instalments: what is still known of each batch of data after each."""

from typing import Any

from tunesmith.evaluation.plots import number
from tunesmith.evaluation.report_blocks import (
    Block,
    Cell,
    Note,
    Section,
    Table,
    count,
    fixed,
    measured,
    p_value,
    title_of,
)
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
    blocks: list[Block] = [Table(caption, header, rows), Note(_told(found, tests)), *_beside(results, found)]
    return Section("instalments", TITLE, blocks)


def _beside(results: Results, found: dict[str, Any]) -> list[Block]:
    """What was trained to be compared with, on the same held-out rows."""
    beside = results.measured.get("beside")
    if not beside:
        return []
    own = {**found, "values": found["values"][-1], "rows": beside["rows"]}
    arms = beside["arms"]
    title = title_of(found["metric"])
    header = ["", *(f"on {i}" for i in range(1, len(found["names"]) + 1)), "Backward transfer", "Forgetting", "Rows"]
    rows = [
        [Cell(name), *map(measured, one["values"]), *map(_plainly, (one["backward_transfer"], one["forgetting"])),
         Cell(number(one["rows"]))]
        for name, one in (("this run", own), *arms.items())
    ]  # fmt: skip
    first = Table(f"{title} after this instalment, and beside it, with {results.percent} intervals", header, rows)
    header = ["This run minus", "on earlier data, mean", "p, corrected", "on its own data", "p, corrected"]
    rows = [[Cell(name), *_difference(one["earlier"]), *_difference(one["here"])] for name, one in arms.items()]
    better = "Below" if found["better"] == "lower" else "Above"
    how = (
        f"{better} 0 this run is better. Paired bootstrap on the same rows; p corrected for the number of tests (Holm)."
    )
    second = Table(f"Differences of {title}, with {results.percent} intervals", header, rows)
    return [first, Note(" ".join(_explained(*each) for each in arms.items())), second, Note(how)]


def _plainly(value: float | None) -> Cell:
    return Cell("–" if value is None else fixed(value))


def _difference(one: dict[str, Any]) -> tuple[Cell, Cell]:
    p = one.get("p_holm")
    return measured(one["difference"]), Cell("–" if p is None else p_value(p)[2:].strip("\u00a0="))


def _explained(name: str, one: dict[str, Any]) -> str:
    """What an arm had that the run had not, and what it stands for."""
    if name == "plain":
        return (
            "Plain: this instalment alone, from the same version, without old rows and without penalties that hold on "
            "to what was known; instalments before it stand as they were learnt."
        )
    old, whole = one["old"], one["of"]
    complete = whole is not None and old >= whole
    told = "" if complete else " It stands for joint training on those, not on all earlier data."
    which = count(old, "old row") + (" at hand" if whole is None else f" of {number(whole)} once learnt")
    return (
        f"Joint: the new rows and {which}, at once, from the base of the first instalment.{told} What learns at once "
        "has nothing earlier to forget."
    )


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

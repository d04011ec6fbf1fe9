"""Section on what tuning cost: the loss on general text before and after."""

from typing import Any

from tunesmith.evaluation.forgetting import WARN
from tunesmith.evaluation.report_blocks import Block, Cell, Note, Section, Table, count, measured
from tunesmith.evaluation.report_read import Results

LANGUAGES = {"en": "English", "zh": "Chinese"}


def forgetting(results: Results) -> Section:
    """Before, after, difference; by language where there are several."""
    found = results.measured.get("forgetting")
    if not found:
        return Section("forgetting", "What it forgot", [])
    told = [("all", found), *found["groups"].items()]
    rows = [
        [
            Cell(LANGUAGES.get(name, name), _note(each)), measured(each["before"]),
            measured(each["after"]), measured(each["difference"]),
        ]
        for name, each in told
    ]  # fmt: skip
    caption = f"Loss a token on general text, with {results.percent} intervals (lower is better)"
    blocks: list[Block] = [Table(caption, ["Text", "Before", "After", "Difference"], rows)]
    blocks.append(Note(_verdict(found["difference"]["value"], found["difference"]["low"], found["difference"]["high"])))
    return Section("forgetting", "What it forgot", blocks)


def _note(found: dict[str, Any]) -> str:
    """How many sentences, and whether there was anything to forget."""
    rows = count(found["rows"], "sentence")
    return rows if found.get("known", True) else f"{rows}; unknown to the base, not counted"


def _verdict(value: float | None, low: float | None, high: float | None) -> str:
    how = (
        "The same sentences, which are not of your data, were read by the base and by this model. They tell whether it "
        "still writes the language, not what else it still knows."
    )
    if value is None or low is None or high is None:
        return how
    if low > 0:
        size = "clearly" if value >= WARN else "a little"
        return f"This model predicts general text {size} worse than its base. {how}"
    return f"This model predicts general text {'better than' if high < 0 else 'as well as'} its base. {how}"

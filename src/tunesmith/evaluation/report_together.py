"""Section on several tasks: whether they pulled the backbone the same way, who was helped or hurt, which to group."""

from typing import Any

from tunesmith.evaluation.report_blocks import (
    Block,
    Cell,
    Note,
    Points,
    Section,
    Table,
    cell,
    fixed,
    measured,
    p_value,
    title_of,
)
from tunesmith.evaluation.report_read import Results

TITLE = "Several tasks on one backbone"
HOW_COSINES = (
    "Cosine between the gradients of two tasks, of what they share, on the same training rows at each evaluation: "
    "above 0 a step for one is a step for the other, below 0 it takes back what the other learnt. Near 0 they leave "
    "each other alone, which is usual."
)
HOW_GROUPS = (
    "Groups grow as long as the mean cosine between them is above 0; a task that was hurt beyond chance stands alone. "
    "It is a proposal to be tried, not a result."
)


def together(results: Results) -> Section:
    """Cosines, single-task runs beside this one, and the proposed grouping."""
    found = results.measured.get("together")
    if not found:
        return Section("together", TITLE)
    blocks: list[Block] = [*_cosines(found), *_weights(results), *_alone(results, found)]
    if found["groups"]:
        told = [(f"Group {i}", ", ".join(group)) for i, group in enumerate(found["groups"], 1)]
        blocks += [Points("Proposed grouping", told), Note(HOW_GROUPS)]
    return Section("together", TITLE, blocks)


def _cosines(found: dict[str, Any]) -> list[Block]:
    names = found["names"]
    if not found["cosines"]:
        return [Note("Nothing that the tasks share was trained, so that they could neither help nor hurt each other.")]
    rows = [
        [Cell(name), *(Cell("" if i == j else fixed(value)) for j, value in enumerate(line))]
        for i, (name, line) in enumerate(zip(names, found["cosines"], strict=True))
    ]
    caption = f"Cosines of gradients, mean of {found['looks']} looks"
    opposed = [
        f"{names[i]} and {names[j]}" for i in range(len(names)) for j in range(i) if found["cosines"][i][j] < -0.05
    ]
    told = f" Against each other: {'; '.join(opposed)}. Try penalties: [pcgrad], or groups." if opposed else ""
    return [Table(caption, ["", *names], rows), Note(HOW_COSINES + told, "bad" if opposed else "plain")]


def _weights(results: Results) -> list[Block]:
    """Weights that were found while training went on."""
    lines = [line for line in results.history if line.get("kind") == "evaluation"]
    last = {k.partition(".")[2]: v for k, v in (lines[-1] if lines else {}).items() if k.startswith("weight.")}
    return [Table("Weights of the tasks at the end", ["Task", "Weight"], [[Cell(n), cell(v)] for n, v in last.items()])
            ] if last else []  # fmt: skip


def _alone(results: Results, found: dict[str, Any]) -> list[Block]:
    if not found["alone"]:
        return [Note("Who was helped and who was hurt is known only beside each task trained alone: task.alone=true.")]
    rows = [
        [
            Cell(name, title_of(one["metric"])), cell(one["together"]), cell(one["alone"]), measured(one["difference"]),
            Cell(p_value(one["adjusted"])[2:].strip("\u00a0=")), Cell(one["verdict"]),
        ]
        for name, one in found["alone"].items()
    ]  # fmt: skip
    header = ["Task", "Together", "Alone", "Difference", "p, corrected", "By the others it was"]
    how = (
        "Alone: from the same base, on the same rows of the task as often as here, judged on the same held-out rows. "
        "Helped or hurt is said where the corrected p is below 0.05."
    )
    return [Table(f"Each task beside itself trained alone, {results.split}", header, rows, words=(0, 5)), Note(how)]

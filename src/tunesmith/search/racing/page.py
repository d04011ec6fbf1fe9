"""`race.html`: who won, how sure that is, what each arm costs, and why the others stopped; no network, no script."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tunesmith.evaluation.plots import Frame, Series, lines, number
from tunesmith.evaluation.report import environment
from tunesmith.evaluation.report_blocks import (
    Block,
    Cell,
    Figure,
    Figures,
    Note,
    Pairs,
    Points,
    Section,
    Table,
    fixed,
    measured,
    p_value,
    percent,
    title_of,
)
from tunesmith.files import write_text
from tunesmith.search.amounts import told
from tunesmith.search.racing.entry import percent as share_of
from tunesmith.search.racing.pictures import Point, pareto

PAGE = "race.html"
Reply = Mapping[str, Any]
Line = Mapping[str, Any]


def write_page(reply: Reply, page: Path, name: str) -> Path:
    """Draw the page of a finished race."""
    write_text(page, render(reply, name))
    return page


def render(reply: Reply, name: str) -> str:
    """The page as text; the same reply gives the same bytes."""
    sections = [_warnings(reply), _ranking(reply), _costs(reply), _beside(reply), _course(reply), _stopped(reply),
                _rules(reply)]  # fmt: skip
    page: str = environment().get_template("race.html").render(
        name=name, question=f"Which method for {name}?", said=reply["said"],
        tone="good" if reply["recommended"] else "bad", sections=[section for section in sections if section.blocks],
    )  # fmt: skip
    return page


def _warnings(reply: Reply) -> Section:
    return Section("warnings", "Warnings", [Note(text, "bad") for text in reply["warnings"]])


def _ranking(reply: Reply) -> Section:
    metric = title_of(reply["metric"])
    header = ["Arm", f"{metric}, {reply['split']}", "Seeds", "Training", "Memory", "Learns", "An answer"]
    rows = [_row(line) for line in reply["ranking"] if line["test"] is not None]
    how = (f"{metric} on {reply['split']} rows with its {percent(reply['level'])} interval: over rows and seeds where "
           "there are several seeds, else over rows. Training is of one seed, loading included; memory is the most "
           "that the process held while it trained; an answer is the median time for one row alone.")  # fmt: skip
    table = Table("Arms that were trained to the end", header, rows)
    return Section("ranking", "Ranking", [table, Note(how)] if rows else [])


def _row(line: Line) -> list[Cell]:
    name = Cell(line["arm"], line["reason"] if line["fate"] == "finalist" else f"no finalist: {line['reason']}")
    memory = "–" if line["memory_mb"] is None else f"{number(round(line['memory_mb']))} MB"
    answer = "–" if line["answer_ms"] is None else f"{line['answer_ms']:.1f} ms"
    return [name, measured(line["test"]), Cell(str(line["seeds"])), Cell(told(line["seconds"])), Cell(memory),
            Cell(_share(line["trainable_share"]), f"{line['learning']:,}"), Cell(answer)]  # fmt: skip


def _share(share: float) -> str:
    return f"{100 * share:.3g} %"


COSTS: Mapping[str, tuple[str, str, Callable[[float], str]]] = {
    "seconds": ("Quality against training time", "training", told),
    "memory_mb": ("Quality against memory", "memory while it trained", lambda v: f"{v:,.0f} MB"),
    "trainable_share": ("Quality against what learns", "share of the parameters that learns", _share),
    "answer_ms": ("Quality against the time of an answer", "one answer", lambda v: f"{v:.3g} ms"),
}
"""{what an arm costs: title, axis, spelling}."""


def _costs(reply: Reply) -> Section:
    ended = [line for line in reply["ranking"] if line["test"] and line["test"]["value"] is not None]
    figures = []
    for cost, (title, axis, show) in COSTS.items():
        points = [_point(line, cost, reply) for line in ended if line[cost]]
        if len(points) > 1:
            drawn = pareto(points, axis, title_of(reply["metric"]), lower=reply["better"] == "lower", show=show)
            figures.append(Figure(title, drawn, ""))
    up = "Lower" if reply["better"] == "lower" else "Higher"
    how = (f"{up} is better, further left is cheaper. Lines through dots are intervals on {reply['split']} rows. The "
           "dashed line joins the arms that no other beats in both; these are named, the others say their name when "
           "pointed at. The recommended one is filled.")  # fmt: skip
    return Section("costs", "What quality costs", [Figures(figures, how)] if figures else [])


def _point(line: Line, cost: str, reply: Reply) -> Point:
    value = line["test"]
    return Point(line["arm"], line[cost], value["value"], value["low"], value["high"],
                 line["arm"] == reply["recommended"])  # fmt: skip


def _beside(reply: Reply) -> Section:
    rows = []
    for line in reply["ranking"]:
        if each := line["against"]:
            span = {name: each[name] for name in ("value", "low", "high")}
            rows.append([Cell(line["arm"], line["reason"]), measured(span), Cell(p_value(each["p_adjusted"])),
                         Cell(p_value(each["p_within"])), Cell(fixed(each["detectable"]))])  # fmt: skip
    header = ["Finalist", f"Minus {reply['best']}", "As good (Holm)", "Loses the margin", "Would be found"]
    how = ("One-sided tests. A small first p-value says that the finalist is worse than the best, a small second one "
           "that it loses less than the margin. The last column is the loss that these rows and seeds would have shown "
           "four times in five: a smaller one may be there.")  # fmt: skip
    return Section("beside", "Beside the best", [Table("Finalists", header, rows), Note(how)] if rows else [])


def _course(reply: Reply) -> Section:
    looked = [line for line in reply["ranking"] if line["course"]]
    series = [_curve(line, reply) for line in looked]
    frame = Frame("share of the steps", f"{title_of(reply['metric'])}, validation", (0.0, 1.0))
    blocks: list[Block] = []
    if any(len(one.x) > 1 for one in series):
        legend = [("s1", "recommended"), ("s2", "trained to the end"), ("s3", "stopped")]
        drawn = lines(sorted(series, key=lambda s: s.style, reverse=True), frame, "Value by share of the steps")
        blocks.append(Figure("How they ran", drawn, "Each dot is a look: the best value so far on validation rows.",
                             tuple(legend)))  # fmt: skip
    rows = [[Cell(line["arm"]), Cell("; ".join(_looked(each) for each in line["course"])), Cell(line["fate"]),
             Cell(told(line["seconds"]))] for line in looked]  # fmt: skip
    blocks.append(Table("Looks", ["Arm", "Value at share of the steps", "Ended", "Training"], rows, (0, 1, 2), True))
    return Section("course", "Course", blocks if rows else [])


def _looked(each: Mapping[str, Any]) -> str:
    return f"{'–' if each['value'] is None else fixed(each['value'])} at {share_of(each['share'])}"


def _curve(line: Line, reply: Reply) -> Series:
    style = "s1" if line["arm"] == reply["recommended"] else "s2" if line["test"] else "s3"
    course = line["course"]
    return Series(line["arm"], [c["share"] for c in course], [c["value"] for c in course], style, dots=True)


def _stopped(reply: Reply) -> Section:
    out = [(line["arm"], line["reason"]) for line in reply["ranking"] if line["test"] is None]
    refused = list(reply["refused"].items())
    blocks: list[Block] = [Points("Stopped, and why", out)] if out else []
    blocks += [Points("Cannot run here", refused)] if refused else []
    return Section("stopped", "What did not run to the end", blocks)


def _rules(reply: Reply) -> Section:
    margin = "one point, or one standard error where the metric is no share"
    if reply["margin"] is not None:
        margin = number(reply["margin"])
    pairs = [
        ("Recommended", "the smallest finalist (share that learns, then memory, then time of an answer) that is not "
         "significantly worse than the best and whose mean loses no more than the margin"),
        ("Best", "the finalist with the best mean over seeds on validation rows, which the race has used"),
        ("Decided on", f"{reply['split']} rows" + (", which the race has not used" * (reply["split"] == "test"))),
        ("Level of tests and intervals", percent(reply["level"])), ("Margin", margin),
        ("Seeds of each finalist", str(reply["seeds"])),
        ("Budget", f"{told(reply['budget_seconds'])}, of which {told(reply['seconds'])} were taken"),
    ]  # fmt: skip
    return Section("rules", "How it was decided", [Pairs(pairs)])

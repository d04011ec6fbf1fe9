"""`tune.html`: the best settings, what they are really worth, what mattered, and every trial, on one page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith.evaluation.parallel import Axis, Thread, parallel
from tunesmith.evaluation.plots import Frame, Series, Whisker, lines, number, whiskers
from tunesmith.evaluation.report import environment
from tunesmith.evaluation.report_blocks import (
    Block,
    Cell,
    Figure,
    Note,
    Pairs,
    Points,
    Section,
    Table,
    cell,
    count,
    percent,
    title_of,
)
from tunesmith.evaluation.report_training import duration
from tunesmith.files import write_text

Reply = Mapping[str, Any]
SEEN = {"seen": "Rows that picked", "corrected": "Without the luck", "test": "Rows no trial saw"}
FEW = 3
"""Best trials that are drawn apart from the others."""


def write_tune_page(reply: Reply, page: Path) -> Path:
    """Draw the page."""
    drawn = [section for section in sections(reply) if section.blocks]
    name = ", ".join(f"{k.rpartition('.')[2]} {_short(v)}" for k, v in reply["best"]["settings"].items())
    template = environment().get_template("tune.html")
    write_text(page, template.render(name=name, headline=headline(reply), sections=drawn, tone=_tone(reply)))
    return page


def sections(reply: Reply) -> list[Section]:
    """The parts of the page, in order."""
    return [_worth(reply), _settings(reply), _search(reply), _trials(reply), _about(reply)]


def headline(reply: Reply) -> str:
    """What the best is worth on rows that no trial saw, and what tuning gained."""
    worth = reply["worth"]
    said = f"{title_of(worth['metric'])} {_short(worth['test']['value'])} on rows that no trial saw"
    return f"{said}. {worth['against']['sentence']}" if worth["against"] else said


def _tone(reply: Reply) -> str:
    against = reply["worth"]["against"]
    return {"better": "good", "worse": "bad"}.get(against["verdict"], "") if against else ""


def _worth(reply: Reply) -> Section:
    worth = reply["worth"]
    shown = [(name, worth[key]) for key, name in SEEN.items() if worth[key] is not None]
    drawn = whiskers([Whisker(name, v["value"], v["low"], v["high"], "s1" if name == SEEN["test"] else "s2")
                      for name, v in shown], "The value of the best trial, three times")  # fmt: skip
    how = (f"The best of {count(reply['trials']['done'], 'trial')} looks better than it is on the rows that picked it, "
           "because chance helped it. In the second line these rows are drawn again and again, and whatever is best on "
           "the drawn ones is judged on those that were not drawn. The third line is the honest one.")  # fmt: skip
    blocks: list[Block] = [Figure(f"{title_of(worth['metric'])} of the best trial", drawn, how)]
    if worth["optimism"] is not None:
        blocks.append(Note(f"On the rows that picked it, the best trial looked {_short(abs(worth['optimism']))} "
                           f"{'better' if worth['optimism'] >= 0 else 'worse'} than on rows that no trial "
                           "saw."))  # fmt: skip
    if against := worth["against"]:
        blocks.append(Note(f"Against the plan with its defaults, on the same rows: {against['sentence']}",
                           "good" if against["verdict"] == "better" else "plain"))  # fmt: skip
    return Section("worth", "What it is worth", blocks)


def _settings(reply: Reply) -> Section:
    shares, rows = reply["importance"], []
    for name, value in reply["best"]["settings"].items():
        of = reply["space"][name]
        between = " to " if of["kind"] != "choice" else ", "
        share = None if shares is None or name not in shares else shares[name]
        bar = cell(None) if share is None else Cell(percent(share), "", share)
        rows.append([Cell(name), Cell(_short(value)), Cell(between.join(_short(v) for v in of["of"]), of["kind"]), bar])
    table = Table("The best settings", ["Setting", "Best", "Searched", "Importance"], rows, words=(0, 2))
    blocks: list[Block] = [table]
    rest = {name: share for name, share in (shares or {}).items() if name not in reply["best"]["settings"]}
    if rest:
        blocks.append(Pairs([(name, percent(share)) for name, share in rest.items()], "Importance of other branches"))
    blocks.append(Note(
        "Importance: how much the values of a setting among the best trials differ from those among all of them "
        "(PED-ANOVA). It says where the search found something to gain, and is rough where trials are few."
        if shares else "Too few trials were trained to the end to say how much each setting mattered."
    ))  # fmt: skip
    return Section("settings", "Settings", blocks)


def _search(reply: Reply) -> Section:
    worth, space = reply["worth"], reply["space"]
    done = [t for t in reply["tried"] if t["value"] is not None and t["state"] in ("done", "stopped", "member")]
    values = [t["value"] for t in done]
    if len(done) < 2 or min(values) == max(values):
        return Section("search", "The search")
    metric = reply["picked_by"]
    axes = [_axis(name, space[name]) for name in space]
    axes.append(Axis(metric, (min(values), max(values))))
    higher = metric != "loss" and worth["better"] == "higher"
    order = sorted(done, key=lambda t: t["value"], reverse=not higher)
    best = [t["number"] for t in order[-FEW:]]
    threads = [Thread(f"trial {t['number']}: {_short(t['value'])}", t["values"] | {metric: t["value"]},
                      "s1" if t["number"] == reply["best"]["trial"] else "s5" if t["number"] in best else "s3")
               for t in order]  # fmt: skip
    picture = Figure("Every trial", parallel(axes, threads, "Settings of all trials and what came of them"),
                     "A line is a trial; it crosses each axis at its setting and ends at its value on the validation "
                     f"rows. The thick line is the best, thin blue ones the next {FEW - 1}. Lines of trials without a "
                     "setting pass below its axis; those left early end at what they had reached.")  # fmt: skip
    so_far, top = [], None
    for t in sorted(done, key=lambda t: t["number"]):
        top = t["value"] if top is None else (max if higher else min)(top, t["value"])
        so_far.append(top)
    x = [float(i + 1) for i in range(len(done))]
    dots = Series("each trial", x, [t["value"] for t in sorted(done, key=lambda t: t["number"])], "s3", True)
    curve = lines([dots, Series("best so far", x, so_far, "s1")], Frame("trial", metric), "The best value by trial")
    figure = Figure("The best so far", curve, "Where it has long been flat, more trials would find little more.",
                    (("s1", "best so far"), ("s3", "each trial")))  # fmt: skip
    return Section("search", "The search", [picture, figure])


def _axis(name: str, of: Mapping[str, Any]) -> Axis:
    if of["kind"] == "choice":
        return Axis(name, None, of["of"])
    low, high = of["of"]
    return Axis(name, (low, high), (), of["kind"].startswith("log"))


def _trials(reply: Reply) -> Section:
    names, metric = list(reply["space"]), reply["picked_by"]
    rows = []
    for t in reply["tried"]:
        settings = [Cell(_short(t["values"][name])) if name in t["values"] else Cell("–") for name in names]
        rows.append([Cell(str(t["number"]), t["state"]), cell(t["value"]), *settings, Cell(percent(t["share"])),
                     cell(round(t["seconds"], 1))])  # fmt: skip
    header = ["Trial", title_of(metric), *names, "Steps", "Seconds"]
    blocks: list[Block] = [Table("All trials", header, rows, words=(0,), folded=len(rows) > 25)]
    if wrong := [(f"Trial {t['number']}", t["reason"]) for t in reply["tried"] if t["state"] == "failed"]:
        blocks.append(Points("Trials that failed", wrong, "bad"))
    if moved := [(f"Member {t['number']}", _moves(t)) for t in reply["tried"] if t["changed"]]:
        blocks.append(Points("Members that went on from a better one", moved))
    return Section("trials", "Trials", blocks)


def _moves(tried: Mapping[str, Any]) -> str:
    return "; ".join(f"after part {each['generation']} from member {each['donor']}: "
                     + ", ".join(f"{k} {_short(v)}" for k, v in each["values"].items())
                     for each in tried["changed"])  # fmt: skip


def _about(reply: Reply) -> Section:
    counts = ", ".join(f"{number} {state}" for state, number in reply["trials"].items() if number)
    corners = reply["corners"]
    looked = f"{'all' if corners['every'] else 'a sample of the'} {number(corners['checked'])} corners of the space"
    pairs = [("Engine", reply["engine"]), ("Sampler", reply["sampler"]), ("Pruner", reply["pruner"]),
             ("Seed", str(reply["seed"])), ("Trials", counts), ("Time", duration(reply["seconds"])),
             ("Processor time of the trials", duration(reply["cpu_seconds"])), ("Checked first", looked),
             ("Plan of the best", reply["best"]["plan"])]  # fmt: skip
    return Section("about", "How it was searched", [Pairs(pairs), *(Note(note) for note in reply["notes"])])


def _short(value: Any) -> str:
    if value is None:
        return "–"
    return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)

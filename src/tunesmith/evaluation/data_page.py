"""`data.html`: what is in a file and what is wrong with it, on one page that needs no network and no script."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.errors import TunesmithError
from tunesmith.evaluation.plots import Bars, Frame, columns, number
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
)
from tunesmith.files import write_text

Reply = Mapping[str, Any]
_TONE = {"error": "bad", "warning": "bad", "info": "plain"}
_HEADINGS = {
    "error": "Mend these first: they stop a training or spoil its result",
    "warning": "Look at these before you train",
    "info": "Good to know",
}
_MARK = 'content="tunesmith data check"'
MANY = 25


def write_data_page(reply: Reply, page: Path) -> Path:
    """Draw the page. Raises TunesmithError where a file of somebody else has its name."""
    if page.exists() and _MARK not in page.read_text(encoding="utf-8", errors="replace")[:2000]:
        raise TunesmithError(f"{page}: is no page of data check, and is not overwritten. Name another one with --page")
    write_text(page, render(reply))
    return page


def render(reply: Reply) -> str:
    """The page as text."""
    drawn = [section for section in sections(reply) if section.blocks]
    page: str = (
        environment()
        .get_template("data.html")
        .render(name=Path(reply["file"]).name, headline=_headline(reply), sections=drawn, tone=_tone(reply))
    )
    return page


def sections(reply: Reply) -> list[Section]:
    """The parts of the page, in order."""
    return [_findings(reply), _columns(reply), _classes(reply), _lengths(reply), _files(reply)]


def _tone(reply: Reply) -> str:
    return "bad" if any(f["severity"] == "error" for f in reply["findings"]) else "good"


def _headline(reply: Reply) -> str:
    by = {s: sum(f["severity"] == s for f in reply["findings"]) for s in _HEADINGS}
    told = [count(by["error"], "thing") + " to mend"] if by["error"] else []
    told += [count(by["warning"], "thing") + " to look at"] if by["warning"] else []
    return f"{count(reply['rows'], 'row')}: {' and '.join(told) or 'nothing to complain about'}"


def _findings(reply: Reply) -> Section:
    blocks: list[Block] = []
    for severity, heading in _HEADINGS.items():
        told = [(_heading(f), f["remedy"]) for f in reply["findings"] if f["severity"] == severity]
        if told:
            blocks.append(Points(heading, told, _TONE[severity]))
    blocks += [_listed(f) for f in reply["findings"] if f["listed"]]
    return Section("findings", "What was found", blocks or [Note("Nothing to complain about.", "good")])


def _heading(finding: Mapping[str, Any]) -> str:
    column = f", column “{finding['column']}”" if finding["column"] else ""
    return f"{finding['kind'].replace('_', ' ')}{column}, {count(finding['rows'], 'row')}"


def _listed(finding: Mapping[str, Any]) -> Table:
    """The rows that a finding lists, behind a line to click."""
    keys = list(finding["listed"][0])
    rows = [[Cell(number(one[k]) if isinstance(one[k], float) else str(one[k])) for k in keys]
            for one in finding["listed"]]  # fmt: skip
    words = tuple(i for i, key in enumerate(keys) if not isinstance(finding["listed"][0][key], float))
    about = finding["kind"].replace("_", " ").capitalize()
    return Table(f"{about}: rows to look at", [key.capitalize() for key in keys], rows, words, True)


def _columns(reply: Reply) -> Section:
    roles = reply["roles"]
    named = dict.fromkeys(roles["texts"], "the text") | dict.fromkeys(roles["side"], "read beside the text")
    named |= {roles["label"]: "the label"} if roles["label"] else {}
    named |= {roles["group"]: "the group"} if roles["group"] else {}
    rows = []
    for each in reply["described"]["columns"]:
        differ = number(each["distinct"]) + ("" if each["distinct_counted"] else " or more")
        empty = Cell(number(each["empty"]), percent(each["empty"] / each["rows"], 1) if each["empty"] else "")
        name, holds = (
            Cell(each["name"], named.get(each["name"], "not read")),
            Cell(each["kind"], _short(each["example"])),
        )
        rows.append([name, holds, empty, Cell(differ)])
    table = Table("Columns", ["Column", "Holds, such as", "Empty", "Different values"], rows, words=(0, 1))
    return Section("columns", "Columns", [table] if rows else [])


def _short(example: str) -> str:
    return example if len(example) <= 40 else f"{example[:39]}…"


def _classes(reply: Reply) -> Section:
    classes = reply["described"]["classes"]
    if not classes:
        return Section("classes", "Class balance")
    most, total = max(classes.values()), sum(classes.values())
    rows = [[Cell(k), Cell(number(n), percent(n / total, 1)), Cell("", "", n / most)] for k, n in classes.items()]
    least = min(classes.values())
    told = f"{count(len(classes), 'class')}: the largest has {number(round(most / least, 1))} times the rows "
    told += "of the smallest." if most > 1.5 * least else "of the smallest: they are about equally large."
    return Section("classes", "Class balance", [Note(told), Table("Rows by class", ["Class", "Rows", ""], rows,
                                                                  folded=len(rows) > MANY)])  # fmt: skip


def _lengths(reply: Reply) -> Section:
    blocks: list[Block] = []
    for each in reply["described"]["lengths"]:
        frame = Frame(each["unit"], "rows")
        drawn = columns(Bars(each["edges"], each["counts"]), frame, f"Lengths of {each['column']} in {each['unit']}")
        how = f"Each bar is the number of rows whose text has so many {each['unit']}."
        how += f" The longest hundredth, up to {number(each['largest'])}, is in the last bar." if each["cut"] else ""
        blocks.append(Figure(f"Lengths of “{each['column']}”", drawn, how))
    if tokens := reply["tokens"]:
        pairs = [
            ("Base", tokens["base"]), ("Median length", count(round(tokens["median"]), "token")),
            ("95 of 100 texts are no longer than", count(round(tokens["p95"]), "token")),
            ("Longest", count(tokens["max"], "token")),
            ("Tokens the base does not know", percent(tokens["unknown_share"], 1)),
            ("Pieces a word is cut into", f"{tokens['pieces_per_word']:.2f} on average"),
        ]  # fmt: skip
        blocks.append(Pairs(pairs, "Lengths, in tokens (the pieces that the base reads)"))
        cost = [[Cell(f"task.max_tokens={each['max_tokens']}"), Cell(number(each["rows"])),
                 Cell(percent(each["share"], 1))] for each in tokens["truncation"]]  # fmt: skip
        header = ["Longest text that is read", "Rows that are cut", "Tokens that are not seen"]
        blocks.append(Table("What cutting texts would cost", header, cost))
    return Section("lengths", "Lengths", blocks)


def _files(reply: Reply) -> Section:
    files: Sequence[Mapping[str, Any]] = [reply, *reply["held_out"]]
    rows = [[Cell(f["file"], "; ".join(f["notes"])), cell(f["rows"]), cell(f["malformed"]), Cell(f["sha256"][:16])]
            for f in files]  # fmt: skip
    return Section("files", "Files", [Table("Files", ["File", "Rows", "Malformed", "sha256, first 16"], rows,
                                            words=(0, 3))])  # fmt: skip

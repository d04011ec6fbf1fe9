"""Are the splits alike? Whether held-out rows are drawn as the training rows are, in words, with what gives them away.

Rows that stand on both sides are told with the results (`report_leaks`), and not again here.
"""

from collections.abc import Mapping
from typing import Any

from tunesmith.evaluation.report_blocks import (
    Block,
    Cell,
    Note,
    Points,
    Section,
    Table,
    count,
    fixed,
    p_value,
    percent,
)
from tunesmith.evaluation.report_read import Results

_SHOWN = 6
Told = Mapping[str, Any]
HOW = (
    "p, corrected: how often rows drawn from one pot would differ as much in any of these comparisons. Below {level} "
    "they are said to differ. AUC: how well a linear model tells rows of the split from training rows that it has not "
    "seen; 0.5 is guessing, 1 is always. Largest distance: the largest gap between the shares of rows below some value."
)


def alike(results: Results) -> Section:
    """A verdict for each held-out split, the tests behind it, telling words, and columns on both sides."""
    found: Told = results.data.get("alike") or {}
    if not found:  # a run of before this was compared
        return Section("alike", "Are the splits alike?")
    tests: list[Told] = found["comparisons"]
    blocks: list[Block] = [_verdict(split, tests, found["columns"]) for split in _splits(tests)]
    if found["unread"]:
        blocks.append(Note(f"Lengths and wording were not compared: {found['unread']}."))
    if tests:
        blocks += [_table(tests), Note(HOW.format(level=found["level"]))]
    blocks += [_words(one) for one in tests if one["differs"] and one["words"]]
    blocks += _columns(found["columns"])
    if tests and results.measured.get("without_leaks"):
        blocks.append(Note("Held-out rows that repeat a training row, or nearly do, are told under “Results”."))
    return Section("alike", "Are the splits alike?", blocks)


def _splits(tests: list[Told]) -> list[str]:
    return list(dict.fromkeys(one["split"] for one in tests))


def _verdict(split: str, tests: list[Told], columns: list[Told]) -> Note:
    own = [one for one in tests if one["split"] == split]
    looked, differ = _listed([one["what"] for one in own]), [one for one in own if one["differs"]]
    if not differ:
        return Note(
            f"{split.capitalize()} rows are like the training rows: {looked} differ no more than by chance.", "good"
        )
    words = [word["word"] for one in differ for word in one["words"][:3]]
    by = f" What gives them away most: {_listed([f'“{word}”' for word in words])}." if words else ""
    return Note(
        f"{split.capitalize()} rows are not like the training rows: {_listed([one['what'] for one in differ])} differ "
        f"beyond chance.{by} A metric on them tells of rows like them: is the model to be used on such rows, or on "
        "rows like those it learnt from? Files of two sources or times, and splits by group, differ so; a random split "
        "does not.", "bad",
    )  # fmt: skip


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _table(tests: list[Told]) -> Table:
    rows = [
        [Cell(one["split"], f"{count(one['rows'][1], 'row')} beside {count(one['rows'][0], 'training row')}"),
         Cell(one["what"]), Cell(fixed(one["value"]), one["measure"]),
         Cell(p_value(one["p_corrected"])[2:].strip("\u00a0=")),
         Cell("differ" if one["differs"] else "alike")]
        for one in tests
    ]  # fmt: skip
    header = ["Compared with training rows", "What", "Measured", "p, corrected", "Verdict"]
    return Table("Comparisons", header, rows, words=(0, 1, 4))


def _words(one: Told) -> Table:
    rows = [[Cell(word["word"]), Cell(percent(word["train"], 1)), Cell(percent(word["held"], 1))]
            for word in one["words"][:_SHOWN]]  # fmt: skip
    header = ["Word", "In training rows", f"In {one['split']} rows"]
    return Table(f"What gives {one['split']} rows away", header, rows)


def _columns(leaks: list[Told]) -> list[Block]:
    told = []
    for leak in leaks:
        of = count(leak["of"], f"{leak['split']} row")
        if leak["what"] == "time":
            last, first = leak["shown"]
            told.append((
                f"{leak['split'].capitalize()}, column “{leak['column']}”: rows from before the end of training.",
                f"{leak['rows']} of {of}, from {first} on, are older than the last training row ({last}). If the model "
                "is to be used on what comes later, hold out the latest rows.",
            ))  # fmt: skip
        else:
            told.append((
                f"{leak['split'].capitalize()}, column “{leak['column']}”: values of training rows.",
                f"{leak['rows']} of {of} share a value with training rows: {', '.join(leak['shown'])}. If rows of one "
                f"value resemble each other, keep them on one side: data.group={leak['column']}.",
            ))  # fmt: skip
    return [Points("On both sides of the split", told)] if told else []

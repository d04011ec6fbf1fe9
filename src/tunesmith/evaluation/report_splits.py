"""Are the splits alike? Whether held-out rows are drawn as the training rows are, in words, with what gives them away.

Rows that stand on both sides are told with the results (`report_leaks`), and not again here.
"""

from collections.abc import Mapping
from typing import Any

from tunesmith.evaluation.report_blocks import (
    Block,
    Cell,
    Note,
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
    "p, corrected: how often rows drawn from one pot would differ as much in any of these comparisons; below {level} "
    "they are marked. AUC: how well a linear model tells rows of the split from training rows that it has not seen; "
    "0.5 is guessing, 1 is always. Largest distance: the largest gap between the shares of rows below some value. "
    "States of a base are compared by data check --base alone."
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
    """A row for each thing that is compared (of several tasks, of each), a column for each split."""
    known = {(*_parted(one["split"]), one["what"]): one for one in tests}
    splits = list(dict.fromkeys(split for _, split, _ in known))
    rows = []
    for task, what in dict.fromkeys((task, what) for task, _, what in known):
        own = [known.get((task, split, what)) for split in splits]
        measure = next(one["measure"] for one in own if one)
        rows.append([Cell(f"{task}: {what}" if task else what), Cell(measure), *map(_compared, own)])
    return Table("Compared with training rows", ["What", "Measured", *map(str.capitalize, splits)], rows, words=(0, 1))


def _parted(split: str) -> tuple[str, str]:
    """(task, "" where there is one; split) of "task.split"."""
    task, _, name = split.rpartition(".")
    return task, name


def _compared(one: Told | None) -> Cell:
    if one is None:
        return Cell("not compared")
    told = f"{p_value(one['p_corrected'])} of {count(one['rows'][1], 'row')} beside {one['rows'][0]}"
    return Cell(f"{fixed(one['value'])}{' differ' * one['differs']}", told)


def _words(one: Told) -> Table:
    rows = [[Cell(word["word"]), Cell(percent(word["train"], 1)), Cell(percent(word["held"], 1))]
            for word in one["words"][:_SHOWN]]  # fmt: skip
    header = ["Word", "In training rows", f"In {one['split']} rows"]
    return Table(f"What gives {one['split']} rows away", header, rows)


_SHARED = {"time": "older than the last training row", "group": "values of training rows"}
_ADVICE = {
    "time": "If the model is to be used on what comes later, hold out the latest rows.",
    "group": "If rows of one value resemble each other, keep them on one side: data.group=COLUMN.",
}


def _columns(leaks: list[Told]) -> list[Block]:
    """A row for each column that stands on both sides, with the held-out rows that share it."""
    known = {(leak["column"], leak["what"], leak["split"]): leak for leak in leaks}
    splits, rows = list(dict.fromkeys(leak["split"] for leak in leaks)), []
    for column, what in dict.fromkeys((column, what) for column, what, _ in known):
        own = [known.get((column, what, split)) for split in splits]
        cells = [Cell(f"{o['rows']} of {count(o['of'], 'row')}", _seen(o)) if o else Cell("none") for o in own]
        rows.append([Cell(column), Cell(_SHARED[what]), *cells])
    header = ["Column", "What is shared", *map(str.capitalize, splits)]
    advice = [Note(_ADVICE[what]) for what in dict.fromkeys(leak["what"] for leak in leaks)]
    return [Table("On both sides of the split", header, rows, words=(0, 1)), *advice] if rows else []


def _seen(leak: Told) -> str:
    """Examples of what is shared."""
    if leak["what"] == "time":
        last, first = leak["shown"]
        return f"from {first} on; training ends {last}"
    return ", ".join(leak["shown"])

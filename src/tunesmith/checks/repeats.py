"""Rows that stand twice, and texts that stand with several labels."""

from collections.abc import Iterable
from typing import Literal

from tunesmith.checks import Check, Finding, Seen
from tunesmith.data.format import counted
from tunesmith.data.overlap import rows_shown, twins
from tunesmith.data.rows import chosen


class Repeats(Check):
    """`duplicates` and `conflicts`, up to case, spaces and Unicode forms."""

    name: Literal["repeats"] = "repeats"

    def look(self, seen: Seen) -> Iterable[Finding]:
        same = twins(seen.records, seen.roles)
        clashing = same.clashing
        if repeats := same.repeats:
            shown = rows_shown(chosen(seen.records, same.members(int(same.first[0]))))
            told = counted(repeats, "row repeats", "rows repeat")
            told += f" another row up to case and spaces (first: {shown}). "
            yield Finding("duplicates", repeats, seen.input, "warning", told + "Add the step dedup")
        if len(clashing):
            shown = rows_shown(chosen(seen.records, same.members(int(clashing[0]))))
            told = counted(len(clashing), "text carries", "texts carry") + f" different labels (first: {shown}). "
            fix = "Correct the labels, or add the step {name: dedup, conflicts: drop}"
            yield Finding("conflicts", int(same.clash.sum()), seen.roles.label, "warning", told + fix)

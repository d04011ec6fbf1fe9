"""Rows that are nearly the same: copies with an edit, the same with other labels, and held-out rows among them."""

from collections.abc import Iterable
from typing import ClassVar, Literal

from tunesmith.checks import Check, Finding, Seen
from tunesmith.data import near
from tunesmith.data.format import counted
from tunesmith.data.overlap import rows_shown
from tunesmith.data.roles import label_of


class Near(Check):
    """`near_duplicates`, `near_conflicts` and `near_overlap`: at least 86 % of the characters or words are the same."""

    name: Literal["near"] = "near"
    thorough: ClassVar[bool] = True

    def look(self, seen: Seen) -> Iterable[Finding]:
        if near.objection(seen.roles):
            return
        found = near.groups(seen.records, seen.roles)
        first = found.inputs.first  # equal rows are told by `repeats`
        groups = [g for every in found.members() if len(g := [row for row in every if first[row] == row]) > 1]
        crowded = counted(found.crowded, "row too common in wording was", "rows too common in wording were")
        unsure = f" {crowded} not compared with all." if found.crowded else ""
        if groups:
            copies = sum(map(len, groups)) - len(groups)
            told = counted(copies, "row is a near-duplicate", "rows are near-duplicates")
            told += f" of another row (first: {_shown(seen, groups[0])}).{unsure} "
            fix = "Look at some, then add the step {name: dedup, by: near}"
            yield Finding("near_duplicates", copies, seen.input, "info", told + fix)
        if clash := [g for g in groups if seen.label and len({label_of(seen.records[i], seen.label) for i in g}) > 1]:
            told = counted(len(clash), "group of near-duplicates carries", "groups of near-duplicates carry")
            told += f" different labels (first: {_shown(seen, clash[0])}). "
            fix = "Correct labels that are wrong; leave those where a word decides"
            yield Finding("near_conflicts", sum(map(len, clash)), seen.label, "info", told + fix)
        yield from self._overlap(seen)

    def _overlap(self, seen: Seen) -> Iterable[Finding]:
        found = near.leaks(seen.records, seen.held_out, seen.roles)
        known = [i for i, score in enumerate(found.scores.tolist()) if score < 1]  # equal ones are told by `overlap`
        if known:
            first = known[0]
            pair = [seen.records[int(found.twins[first])], seen.held_out[int(found.rows[first])]]
            told = counted(len(known), "held-out row is a near-duplicate", "held-out rows are near-duplicates")
            told += f" of training rows (first: {rows_shown(pair)}). "
            fix = "The report gives the metrics without them; data.near=remove takes them out of the training rows"
            yield Finding("near_overlap", len(known), seen.input, "warning", told + fix)


def _shown(seen: Seen, rows: list[int]) -> str:
    return rows_shown([seen.records[row] for row in rows])

"""Rows that are nearly the same: copies with an edit, the same with other labels, and held-out rows among them."""

from collections.abc import Iterable
from typing import ClassVar, Literal

import numpy as np

from tunesmith.checks import Check, Finding, Seen
from tunesmith.data import near
from tunesmith.data.coded import coded
from tunesmith.data.format import counted
from tunesmith.data.leaks import twins
from tunesmith.data.overlap import rows_shown
from tunesmith.data.roles import label_of
from tunesmith.data.rows import Index, chosen


class Near(Check):
    """`near_duplicates`, `near_conflicts` and `near_overlap`: at least 86 % of the characters or words are the same."""

    name: Literal["near"] = "near"
    thorough: ClassVar[bool] = True

    def look(self, seen: Seen) -> Iterable[Finding]:
        if seen.held_out and seen.roles.captioned:
            yield from self._same_files(seen)
        if near.objection(seen.roles):
            return
        found = near.groups(seen.records, seen.roles)
        first = found.inputs.first  # equal rows are told by `repeats`
        labels = coded(label_of(record, seen.label) for record in seen.records).numbers if seen.label else None
        near_twins, clashing = _Told(), _Told()
        for every in found.members():
            group = every[first[every] == every]
            if len(group) > 1:
                near_twins.add(group)
                if labels is not None and (labels[group] != labels[group[0]]).any():
                    clashing.add(group)
        crowded = counted(found.crowded, "row too common in wording was", "rows too common in wording were")
        unsure = f" {crowded} not compared with all." if found.crowded else ""
        if near_twins.groups:
            copies = near_twins.rows - near_twins.groups
            told = counted(copies, "row is a near-duplicate", "rows are near-duplicates")
            told += f" of another row (first: {near_twins.shown(seen)}).{unsure} "
            fix = "Look at some, then add the step {name: dedup, by: near}"
            yield Finding("near_duplicates", copies, seen.input, "info", told + fix)
        if clashing.groups:
            told = counted(clashing.groups, "group of near-duplicates carries", "groups of near-duplicates carry")
            told += f" different labels (first: {clashing.shown(seen)}). "
            fix = "Correct labels that are wrong; leave those where a word decides"
            yield Finding("near_conflicts", clashing.rows, seen.label, "info", told + fix)
        if seen.held_out:
            yield from self._overlap(seen)

    def _same_files(self, seen: Seen) -> Iterable[Finding]:
        found = twins(seen.records, seen.held_out, seen.roles)
        if rows := len(found.rows):
            pair = [seen.records[int(found.twins[0])], seen.held_out[int(found.rows[0])]]
            told = counted(rows, "held-out row brings a file", "held-out rows bring a file")
            told += f" of training rows, whatever the text (first: {rows_shown(pair)}). "
            fix = "The report gives the metrics without them; data.near=remove takes them out of the training rows"
            yield Finding("near_overlap", rows, seen.roles.file, "warning", told + fix)

    def _overlap(self, seen: Seen) -> Iterable[Finding]:
        found = near.leaks(seen.records, seen.held_out, seen.roles)
        known = np.flatnonzero(found.scores < 1)  # equal ones are told by `overlap`
        if len(known):
            first = int(known[0])
            pair = [seen.records[int(found.twins[first])], seen.held_out[int(found.rows[first])]]
            told = counted(len(known), "held-out row is a near-duplicate", "held-out rows are near-duplicates")
            told += f" of training rows (first: {rows_shown(pair)}). "
            fix = "The report gives the metrics without them; data.near=remove takes them out of the training rows"
            yield Finding("near_overlap", len(known), seen.input, "warning", told + fix)


class _Told:
    """Groups that something is said of: how many, of how many rows, and the first of them."""

    def __init__(self) -> None:
        self.groups = self.rows = self._size = 0
        self._first: Index | None = None

    def add(self, group: Index) -> None:
        """One more group."""
        self._first = group[:6] if self._first is None else self._first
        self._size = len(group) if not self.groups else self._size
        self.groups += 1
        self.rows += len(group)

    def shown(self, seen: Seen) -> str:
        """Places of the rows of the first group."""
        assert self._first is not None, "a group was added"
        return rows_shown(chosen(seen.records, self._first), count=self._size)

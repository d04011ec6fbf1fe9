"""Classes: spellings that are probably one, tiny ones, and very unequal ones."""

from collections.abc import Iterable
from typing import Literal

from tunesmith.checks import Check, Finding, Seen
from tunesmith.data.coded import coded
from tunesmith.data.format import counted, excerpt
from tunesmith.data.overlap import label_twins
from tunesmith.data.roles import label_of

TINY_CLASS, IMBALANCE = 5, 10.0


class Classes(Check):
    """`label_twins`, `tiny_classes` and `imbalance`."""

    name: Literal["classes"] = "classes"

    def look(self, seen: Seen) -> Iterable[Finding]:
        if not (column := seen.label):
            return
        counts = coded(label_of(record, column) for record in seen.records).counts
        for alike in label_twins(counts):
            rows = sum(counts[t] for t in alike)
            told = f"{' and '.join(repr(excerpt(t)) for t in alike)} are probably one label. Spell them alike"
            yield Finding("label_twins", rows, column, "warning", told)
        if tiny := {label: n for label, n in counts.items() if n < TINY_CLASS}:
            shown = ", ".join(f"'{excerpt(label)}' ({n})" for label, n in list(tiny.items())[:5])
            told = counted(len(tiny), "class", "classes") + f" with fewer than {TINY_CLASS} rows: {shown}. "
            told += "Add rows, or join classes"
            yield Finding("tiny_classes", sum(tiny.values()), column, "warning", told)
        if len(counts) > 1 and (ratio := max(counts.values()) / min(counts.values())) > IMBALANCE:
            told = f"the largest class has {ratio:.0f} times the rows of the smallest. "
            fix = "Judge by macro_f1, and try the step {name: balance, how: weights}"
            yield Finding("imbalance", len(seen.records), column, "warning", told + fix)

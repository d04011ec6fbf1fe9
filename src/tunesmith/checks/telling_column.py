"""Columns beside text and label that tell the label: values that always go with one, identifiers that rise with it.

Such a column is a leak when the model reads it, and a hint that rows were sorted by label when it does not.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

from tunesmith.checks import Check, Finding, Seen
from tunesmith.data.format import excerpt


class TellingColumn(Check):
    """Told where a column alone answers four fifths of what guessing the largest class leaves open."""

    name: Literal["telling_column"] = "telling_column"

    def look(self, seen: Seen) -> Iterable[Finding]:
        if not seen.labels:
            return
        for column in seen.some[0].cells:
            if column in (seen.label, seen.roles.file, *seen.roles.texts):
                continue
            if share := tells([str(r.cells.get(column)) for r in seen.some], seen.labels):
                used = column in seen.roles.side
                what = f"'{excerpt(column)}' alone tells {share:.0%} of the labels{seen.told}. "
                fix = "Take it out of the columns that the model reads" if used else "Do not let the model read it"
                severity: Literal["warning", "info"] = "warning" if used else "info"
                yield Finding("telling_column", len(seen.labels), column, severity, what + fix)


def tells(values: Sequence[str], labels: Sequence[str]) -> float:
    """Share of labels that a column tells; 0 unless that is far more than guessing the largest class."""
    majority = Counter(labels).most_common(1)[0][1] / len(labels)
    if majority == 1 or len(labels) < 20:
        return 0.0
    share = max(_by_value(values, labels), _by_order(values, labels))
    return share if share - majority > 0.8 * (1 - majority) else 0.0


def _by_value(values: Sequence[str], labels: Sequence[str]) -> float:
    """Guess the most common label of each value; values seen once say nothing."""
    seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for value, label in zip(values, labels, strict=True):
        seen[value][label] += 1
    return sum(c.most_common(1)[0][1] for c in seen.values() if c.total() > 1) / len(values)


def _by_order(values: Sequence[str], labels: Sequence[str]) -> float:
    """Guess from the nearest smaller number: identifiers given class by class tell the label."""
    try:
        pairs = sorted((float(v), label) for v, label in zip(values, labels, strict=True))
    except ValueError:
        return 0.0
    numbers = [n for n, _ in pairs]
    if len(set(numbers)) < len(numbers) or numbers[-1] != numbers[-1]:
        return 0.0
    before = (pairs[bisect_right(numbers, n) - 2][1] for n in numbers[1:])
    return sum(guess == label for guess, (_, label) in zip(before, pairs[1:], strict=True)) / len(labels)

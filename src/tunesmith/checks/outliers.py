"""Numbers far outside the rest of their column: a decimal point that moved, another unit, a 9999 for "unknown"."""

from collections.abc import Iterable
from typing import ClassVar, Literal

from tunesmith.checks import Check, Finding, Seen, Severity
from tunesmith.data.fences import fences
from tunesmith.data.numbers import numbers, numeric
from tunesmith.data.rows import chosen

SHOWN, TAIL = 20, 0.01


class Outliers(Check):
    """Beyond Q1 - 3 IQR or Q3 + 3 IQR, further out where the values are skewed, and of logarithms where these are the
    less skewed. Where more than 1 % lie there the column has heavy tails, and is told as that."""

    name: Literal["outliers"] = "outliers"
    thorough: ClassVar[bool] = True

    def look(self, seen: Seen) -> Iterable[Finding]:
        if not seen.records:
            return
        label = seen.roles.label if seen.roles.numeric_label else None
        names = [c for c in seen.records[0].cells if c not in (*seen.roles.texts, seen.roles.file)]
        names = [c for c in names if c != seen.roles.label or c == label]
        for column, values in numeric(names, seen.some).items():
            if (found := fences(values)) is None:
                continue
            values_N = numbers(column, seen.records)  # the fences are of 50,000 rows, what lies outside of all
            rows = found.outside(values_N)
            if not len(rows):
                continue
            read, heavy = column in (*seen.roles.side, label), len(rows) > max(2, TAIL * len(values_N))
            shown = ", ".join(f"{r.place} ({values_N[i]:g})" for i, r in zip(rows, chosen(seen.records, rows[:SHOWN]),
                                                                            strict=False))  # fmt: skip
            more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
            what = f"{len(rows)} values lie outside {found.low:.4g} to {found.high:.4g}: {shown}{more}. "
            if heavy:
                what += f"That is {len(rows) / len(values_N):.1%} of them: heavy tails rather than slips. "
            severity: Severity = "warning" if read and not heavy else "info"
            yield Finding("outliers", len(rows), column, severity, what + _remedy(column, label, read))


def _remedy(column: str, label: str | None, read: bool) -> str:
    if column == label:
        return "If they are wrong, correct them, or add the step {name: outliers, how: drop, columns: [" + column + "]}"
    if read:
        return "If they are wrong, correct them, or add the step {name: outliers, how: clip}"
    return "The model does not read this column"

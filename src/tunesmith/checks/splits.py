"""Held-out rows that are not like the training rows, or share their time or groups."""

from collections.abc import Iterable
from typing import ClassVar, Literal

from tunesmith.checks import Check, Finding, Seen
from tunesmith.data.audit import Audit, audit
from tunesmith.data.drift import Drift
from tunesmith.data.format import counted
from tunesmith.data.record import Roles


class Splits(Check):
    """`drift` of labels, lengths, wording or, with a base, its states beyond chance; `time_leak`; `group_leak`."""

    name: Literal["splits"] = "splits"
    thorough: ClassVar[bool] = True

    def look(self, seen: Seen) -> Iterable[Finding]:
        if not seen.records or not seen.held_out:
            return
        found = audit(seen.records, {"held-out": seen.held_out}, seen.roles, states=seen.states)
        yield from drifts(found, seen.roles)
        for leak in found.columns:
            if leak.what == "time":
                last, first = leak.shown
                older = counted(leak.rows, "held-out row is", "held-out rows are")
                what = f"{older} older than the last training row ({last}), from {first} on. "
                fix = "If the model is to be used on what comes later, hold out the latest rows"
            else:
                share = counted(leak.of, "held-out row", "held-out rows")
                what = f"{leak.rows} of {share} share a value with training rows: {', '.join(leak.shown)}. "
                fix = "If rows of one value resemble each other, keep them on one side (data.group)"
            yield Finding(f"{leak.what}_leak", leak.rows, leak.column, "info", what + fix)


def drifts(found: Audit, roles: Roles) -> Iterable[Finding]:
    """Alarms as findings. Where rows of one group stay together, splits differ as groups do, and that is meant."""
    for each in found.alarms:
        column = roles.label if each.what == "labels" else next(iter(roles.texts), None)
        yield Finding("drift", each.rows[1], column, "info" if roles.group else "warning", told(each))


def told(drift: Drift) -> str:
    """What differs, how clearly, by which words, and what to ask oneself."""
    words = ", ".join(
        f"'{one.word}' ({one.train:.0%} of training rows, {one.held:.0%} here)" for one in drift.words[:4]
    )
    measured = f"{drift.measure} {drift.value:.3g}, p = {drift.p:.1g}"
    what = f"the {drift.what} of {drift.split} rows differ from those of training rows ({measured})"
    asked = "Are both of one source and time? A metric tells of rows like those it was measured on"
    return f"{what}{words and ': '}{words}. {asked}"

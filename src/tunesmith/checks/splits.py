"""Held-out rows that are not like the training rows, or share their time or groups."""

from collections.abc import Iterable
from typing import ClassVar, Literal

from tunesmith.checks import Check, Finding, Seen
from tunesmith.data.drift import Drift, alarms, column_leaks, compared

_MEASURE = {"labels": "chi-squared", "lengths": "largest distance", "wording": "AUC of telling the files apart"}


class Splits(Check):
    """`drift` of labels, lengths or wording beyond chance; `time_leak`; `group_leak`."""

    name: Literal["splits"] = "splits"
    thorough: ClassVar[bool] = True

    def look(self, seen: Seen) -> Iterable[Finding]:
        if not seen.records or not seen.held_out:
            return
        held = {"held-out": seen.held_out}
        for each in alarms(compared(seen.records, held, seen.roles)):
            yield Finding("drift", len(seen.held_out), _column(each, seen), "warning", _told(each))
        for leak in column_leaks(seen.records, held, seen.roles):
            if leak.what == "time":
                last, first = leak.shown
                told = f"{leak.rows} held-out rows, from {first} on, are older than the last training row ({last}). "
                fix = "If the model is to be used on what comes later, hold out the latest rows"
            else:
                shown = ", ".join(leak.shown)
                told = f"{leak.rows} of {leak.of} held-out rows share a value with training rows: {shown}. "
                fix = "If rows of one value resemble each other, keep them on one side (data.group)"
            yield Finding(f"{leak.what}_leak", leak.rows, leak.column, "info", told + fix)


def _column(drift: Drift, seen: Seen) -> str | None:
    return seen.roles.label if drift.what == "labels" else seen.input


def _told(drift: Drift) -> str:
    words = ", ".join(
        f"'{one.word}' ({one.train:.0%} of training rows, {one.held:.0%} here)" for one in drift.words[:4]
    )
    measured = f"{_MEASURE[drift.what]} {drift.value:.3g}, p = {drift.p:.1g}"
    told = f"the {drift.what} of held-out rows differ from those of training rows ({measured}){words and ': '}{words}. "
    return told + "Are both files of one source and time? A metric tells of rows like those it was measured on"

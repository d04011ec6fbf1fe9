"""When something happens in a run: '200 steps', '1 epoch', '60 seconds'."""

import re
from dataclasses import dataclass
from typing import Literal, cast

Unit = Literal["steps", "epochs", "seconds"]
_FORM = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(step|epoch|second)s?\s*$")


@dataclass(frozen=True)
class Moment:
    """An amount of steps, epochs or seconds."""

    amount: float
    unit: Unit

    @staticmethod
    def parse(text: str) -> "Moment":
        """Read a moment that `objection` has nothing against."""
        found = _FORM.match(text)
        assert found, text
        return Moment(float(found.group(1)), cast("Unit", found.group(2) + "s"))

    @staticmethod
    def objection(text: str, *, seconds: bool) -> str | None:
        """What is wrong with the text; None when it can be parsed."""
        found = _FORM.match(text)
        units = "'200 steps', '1 epoch'" + (" or '60 seconds'" if seconds else "")
        if not found or (found.group(2) == "second" and not seconds):
            return f"'{text}' is not a moment. Write {units}"
        if float(found.group(1)) <= 0:
            return f"'{text}' never comes; the amount must be above 0"
        return None

    def steps(self, steps_per_epoch: int) -> int | None:
        """The moment in optimizer steps, at least 1; None where it is a matter of the clock."""
        if self.unit == "seconds":
            return None
        per_unit = steps_per_epoch if self.unit == "epochs" else 1
        return max(1, round(self.amount * per_unit))

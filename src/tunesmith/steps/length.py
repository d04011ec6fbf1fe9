"""Learn from texts of a certain length alone: too short to say anything, or too long to be one case."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from tunesmith import scratch
from tunesmith.data.ledger import Ledger
from tunesmith.data.record import Record, Roles
from tunesmith.data.roles import text_of
from tunesmith.data.rows import chosen, ids
from tunesmith.steps import Scope, Step


class Length(Step):
    """Training rows only: held-out rows of any length are judged, because rows of any length will be asked."""

    name: Literal["length"] = "length"
    least: NonNegativeInt = 0
    """Fewest characters of the texts of a row together."""
    most: PositiveInt | None = None
    """Most characters; null: any."""

    scope: ClassVar[Scope] = "train"
    prefer: ClassVar[str] = "Files with crumbs or whole documents among short notes."

    def objection(self, plan: Any) -> str | None:
        if self.least == 0 and self.most is None:
            return "length has neither least nor most, and does nothing. Set one, or take it out of steps"
        if self.most is not None and self.most < self.least:
            return f"length asks for at least {self.least} and at most {self.most} characters: no text has both"
        return None

    def run(self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int) -> Sequence[Record]:
        sizes = scratch.filled(
            (sum(len(text_of(record, c)) for c in roles.texts) for record in records), len(records), "i8"
        )
        stays = scratch.room(len(records), "?", 1)
        known = ids(records)
        for part in scratch.blocks(len(records)):
            stays[part] = (sizes[part] >= self.least) & (sizes[part] <= (self.most or sizes[part]))
        for row in scratch.each(scratch.where(stays, np.logical_not)):
            why = f"shorter than {self.least}" if sizes[row] < self.least else f"longer than {self.most}"
            ledger.mark(int(known[row]), "dropped", f"length: {why} characters")
        return chosen(records, scratch.where(stays))

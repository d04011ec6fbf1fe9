"""Open every sound once: what cannot be read leaves with its reason, and what is one recording gets one digest."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from tunesmith.data import stored
from tunesmith.data.ledger import Ledger
from tunesmith.data.record import SAMPLES, Record, Roles
from tunesmith.data.sounds import hear
from tunesmith.steps import Scope, Step, _files


class Sounds(Step):
    """Each path is followed from the folder of its file. The digest of the samples stands beside it, so that dedup and
    the search for rows on both sides of a split see one recording under two names."""

    name: Literal["sounds"] = "sounds"
    on_bad: Literal["refuse", "drop"] = "refuse"
    """A sound that is missing, damaged, empty or too large: stop and name it, or leave the row out and write the reason
    into the ledger. Where answers are asked for, such a row always stops."""

    scope: ClassVar[Scope] = "every_row"
    prefer: ClassVar[str] = "Always, with sounds. It runs at prediction time too."

    def objection(self, plan: Any) -> str | None:
        if not plan.task.hears:
            return "sounds opens recordings, and this task reads none. Remove the step"
        return None

    def run(self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int) -> Sequence[Record]:
        return stored.records(_files.opened(records, roles, SAMPLES, hear, ledger, self))

"""Open every image once: what cannot be read leaves with its reason, and what is one picture gets one digest."""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal

from pydantic import PositiveInt

from tunesmith.data import stored
from tunesmith.data.images import MAX_PIXELS, look
from tunesmith.data.ledger import Ledger
from tunesmith.data.record import DIGEST, Record, Roles
from tunesmith.steps import Scope, Step, _files


class Pictures(Step):
    """Each path is followed from the folder of its file. The digest of the upright RGB pixels stands beside it, so that
    dedup and the search for rows on both sides of a split see one picture under two names, or saved twice."""

    name: Literal["pictures"] = "pictures"
    on_bad: Literal["refuse", "drop"] = "refuse"
    """An image that is missing, damaged, animated or too large: stop and name it, or leave the row out and write the
    reason into the ledger. Where answers are asked for, such a row always stops."""
    max_pixels: PositiveInt = MAX_PIXELS
    """Largest image, width x height; a larger one is not unpacked."""

    scope: ClassVar[Scope] = "every_row"
    prefer: ClassVar[str] = "Always, with images. It runs at prediction time too."

    def objection(self, plan: Any) -> str | None:
        names = [step.name for step in plan.steps]
        if "dedup" in names[: names.index("pictures")]:
            return "dedup stands before pictures, and would not know images apart. Write pictures before dedup"
        if not plan.task.opens_images:
            return "pictures opens images, and this task reads none. Remove the step"
        return None

    def run(self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int) -> Sequence[Record]:
        look_at = partial(look, max_pixels=self.max_pixels)
        return stored.records(_files.opened(records, roles, DIGEST, look_at, ledger, self))

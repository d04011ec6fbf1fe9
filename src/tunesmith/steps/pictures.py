"""Open every image once: what cannot be read leaves with its reason, and what is one picture gets one digest."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import PositiveInt

from tunesmith.data import stored
from tunesmith.data.images import MAX_PIXELS, Unreadable, look
from tunesmith.data.ledger import Ledger
from tunesmith.data.overlap import rows_shown
from tunesmith.data.record import DIGEST, Record, Roles
from tunesmith.errors import TunesmithError
from tunesmith.steps import Scope, Step


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
        return stored.records(self._sound(records, roles, ledger))

    def _sound(self, records: Sequence[Record], roles: Roles, ledger: Ledger) -> Iterator[Record]:
        assert roles.image is not None, "the plan's rules see to it"
        for record in records:
            if roles.imageless and record.cells.get(roles.image) in (None, ""):
                ledger.changed(self.name, "a row without an image")
                yield replace(record, cells=record.cells | {roles.image: "", DIGEST: ""})
                continue
            path = path_of(record, roles.image)
            try:
                seen = look(path, self.max_pixels)
            except Unreadable as error:
                if self.on_bad == "refuse":
                    raise TunesmithError(
                        f"{rows_shown([record])}: {path}: {error}. Mend it, or write steps: [{{name: pictures, on_bad: "
                        "drop}, dedup]"
                    ) from None
                ledger.mark(record.id, "dropped", f"pictures: {error}")
                continue
            for change in seen.changes:
                ledger.changed(self.name, change)
            yield replace(record, cells=record.cells | {roles.image: str(path), DIGEST: seen.digest})


def path_of(record: Record, column: str) -> Path:
    """Where the image of a row lies: a relative path counts from the folder of the file (or the folder) it stands in.
    Addresses are not followed."""
    cell = record.cells.get(column)
    if not isinstance(cell, str) or not cell.strip():
        raise TunesmithError(f"{rows_shown([record])}: column '{column}': no path of an image: '{cell}'. Write one"
                             "; of rows that need none beside their text, set task.no_image: learn")  # fmt: skip
    if "://" in cell:
        raise TunesmithError(f"{rows_shown([record])}: '{cell[:80]}' is an address; images are read from files alone")
    source = Path(record.source).expanduser()
    return ((source if source.is_dir() else source.parent) / Path(cell).expanduser()).absolute()

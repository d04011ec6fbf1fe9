"""The plan's second tower: which network reads the image column of a text task, and how it learns."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from tunesmith.methods import METHODS, Method
from tunesmith.settings import Rate, Section

if TYPE_CHECKING:
    from tunesmith.bases.find import Found

    AnyMethod = Method
else:
    AnyMethod = METHODS.union()


class Tower(Section):
    """A network for images beside the base, for tasks with `task.image`."""

    base: str
    """The pretrained network for images: local folder, or hub id."""
    method: AnyMethod = METHODS.make("head")
    """How it learns. head: it stays as it is, runs once a picture, and what it saw joins what the base read."""
    lr: Rate | Literal["auto"] = "auto"
    """Its peak learning rate; auto: its method's own default."""
    resolution: Annotated[int, Field(ge=16, le=2048)] | None = None
    """Images are so many pixels a side; its own unless named."""

    def found(self, *, online: bool = False) -> "Found":
        """Its base on this machine. Raises TunesmithError where it is not."""
        from tunesmith.bases.find import find

        return find(self.base, online=online)


def tower_objection(plan: Any) -> tuple[str, str] | None:
    """(plan path, why): what keeps `task.image` and `tower` from being one thing; None where nothing does."""
    task, tower = plan.task, plan.tower
    beside = task.weighs_images
    if tower is None:
        return ("task", "image is read by a second network. Name it: tower: {base: FOLDER}") if beside else None
    if not beside:
        return "tower", f"has no effect: {task.name} reads no image beside a text. Name the column (task.image)"
    if "pictures" not in [step.name for step in plan.steps]:
        return "steps", "images are opened by the step pictures. Write steps: [clean, pictures, dedup]"
    if getattr(task, "readout", "head") != "head":
        return "task", "image is weighed beside a head, and a verbalizer has none. Use readout: head, or remove image"
    if tower.method.start is not None:
        return "tower.method", "start is for the base's own method. Remove it"
    if plan.replay.rows or plan.replay.keep or plan.replay.beside:
        return "replay", "keeps the text of old rows and not their images. Remove it, or task.image"
    fault = tower.method.objection(plan.model_copy(update={"method": tower.method}))
    return None if fault is None else ("tower.method", fault)

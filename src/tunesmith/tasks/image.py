"""Image classification: one label for each picture.

    file -> upright RGB -> resized, cropped (the base's own processor) -> backbone -> head -> logits (B, C) -> label

Labels, losses and how probabilities become an answer: `_classes.py`. Pixels are kept as eight-bit numbers and
normalised when a batch is made, so that ten thousand images of 96 x 96 take 276 MB in a file and none in memory.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tunesmith import scratch
from tunesmith.bases.family import Family, Purpose, VisionFamily
from tunesmith.bases.find import Found
from tunesmith.data import Record, Roles
from tunesmith.data.names import IMAGES
from tunesmith.data.record import DIGEST
from tunesmith.data.roles import find_column, infer_label
from tunesmith.data.table import Table
from tunesmith.tasks import Array, Encoded, Facts, Tick, _augment, _files, no_tick
from tunesmith.tasks._classes import ClassTask, class_numbers
from tunesmith.tasks._pixels import pixels_of, processed

if TYPE_CHECKING:
    from torch import Tensor

    from tunesmith.bases.processor import ImageProcessor


class Image(ClassTask):
    """One label for each image."""

    name: Literal["image"] = "image"
    image: str | None = None
    """Column with the path of the image, from the folder of the file; found by itself when only one can be meant. A
    folder with a folder of images for each class is a data file, too."""
    label: str | None = None
    """Column that holds the answer; found by itself when only one can be meant."""
    resolution: Annotated[int, Field(ge=16, le=2048)] | None = None
    """Images are so many pixels a side; the base's own unless named. Smaller is faster by the square of it. Saved with
    the model, in its preprocessor_config.json."""

    augment: Literal["auto"] | tuple[_augment.Name, ...] = ()
    """How training images are changed each time they are shown; held-out ones never are. auto: flip, crop and colour,
    without what may break labels by their names (digits, letters, left and right, colours). Costs the trunk cache."""

    sees: ClassVar[bool] = True
    usual_steps: ClassVar[tuple[str, ...]] = ("pictures", "dedup")
    pipeline: ClassVar[str] = "image-classification"
    prefer: ClassVar[str] = "each row is a picture with exactly one answer out of a fixed list"

    def own_objection(self, plan: Any) -> str | None:
        if text := _files.objection(self, plan, "pictures", "images"):
            return text
        if {"mixup", "cutmix"} <= set(self.augment):
            return "augment: mixup and cutmix both mix images in pairs. Choose one"
        mixed = [name for name in ("mixup", "cutmix") if name in self.augment]
        if mixed and (odd := [penalty.name for penalty in plan.penalties if penalty.reads_outputs]):
            return (f"augment: {odd[0]} compares answers with the one label of each image, and {mixed[0]} gives images "
                    "two. Remove one of the two")  # fmt: skip
        return None

    def study(self, records: Sequence[Record], roles: Roles) -> Facts:
        facts = super().study(records, roles)
        augment, told = _augment.chosen(self.augment, facts.labels)
        return facts.model_copy(update={"augment": augment, "notes": {f"augment {i}": t for i, t in enumerate(told)}})

    def faced(self, way: Any, encoded: Encoded, rows: Sequence[int], max_tokens: int) -> Encoded:
        """The step's images as they are shown in it: drawn from the seed of the step, which is torch's by now."""
        import torch

        assert encoded.pixels is not None, "images"
        if not encoded.pixels.augment:
            return encoded
        pixels, mix = _augment.shown(
            encoded.pixels, [int(r) for r in rows], encoded.pixels.augment, torch.initial_seed()
        )
        return replace(encoded, pixels=pixels, mix=mix)

    def step_loss(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        """Each row's loss by its weight; of mixed images that of both labels, by their shares."""
        logits_BC = way.logits(encoded, rows)
        targets, weights_B = encoded.aims(rows, logits_BC.device)
        losses_B = self.losses(logits_BC, targets)
        if encoded.mix is not None:
            partner_B, share_B = (t.to(logits_BC.device) for t in encoded.mix.of(rows))
            others, _ = encoded.aims(partner_B.tolist(), logits_BC.device)
            losses_B = share_B * losses_B + (1 - share_B) * self.losses(logits_BC, others)
        return (losses_B * weights_B).sum()

    @property
    def usual_baselines(self) -> tuple[str, ...]:
        return ("majority", "pixels", "probe")

    def purpose(self, model_type: str) -> Purpose:
        return "image"

    def processor(self, base: Found, saved: Path | None = None) -> "ImageProcessor":
        from tunesmith.bases.processor import load_processor

        return load_processor(base.at(saved), self.resolution)

    def base_objection(self, family: Family) -> str | None:
        assert isinstance(family, VisionFamily), "the purpose sees to it"
        if self.resolution is not None and not family.sized:
            return f"resolution: the positions of a {family.name} were learnt for one size of image. Remove it"
        return None

    def resolved(self, table: Table) -> "Image":
        known = {c: find_column(c, table.columns, table.source) for c in (self.image, self.label) if c}
        free = [c for c in table.columns if c not in known]
        _files.require_free(table, DIGEST)
        image = self.image or _files.infer_path(free, table, IMAGES, "image", "images")
        label = self.label or infer_label([c for c in free if c != image], table)
        return self.model_copy(update={"image": image, "label": label})

    def roles(self, *, labelled: bool = True) -> Roles:
        return Roles((DIGEST,), self.label if labelled else None, file=self.image or "image")

    def encode(
        self, records: Sequence[Record], roles: Roles, tokenizer: Any, facts: Facts, tick: Tick = no_tick
    ) -> Encoded:
        weights = scratch.filled((r.weight for r in records), len(records), np.float32)
        pixels = pixels_of(records, roles.file or "image", tokenizer, tick)
        targets = None if roles.label is None else class_numbers(records, roles.label, facts)
        encoded = Encoded.of_pixels(replace(pixels, augment=facts.augment), targets, weights)
        return encoded if targets is None else self.aimed(encoded, records, facts)

    def replayed(self, folder: Path, records: Sequence[Record]) -> tuple[str, dict[int, Array]]:
        return "pixel_values", processed(folder, records, self.roles().shown[0])

"""A second tower: a network for images beside the one for texts, whose logits are added to its own.

    logits = text head(text state) + side W + image head(image state)        (B, C)

which is what one linear layer over all states, laid end to end, computes (late fusion; Baltrušaitis et al. 2019,
https://arxiv.org/abs/1705.09406). So each tower stays the library's own Auto class with a head of its own, learns under
its own method, keeps its own frozen blocks in a trunk cache, and is saved as other tools read it. A row without an
image has `absent` (C,) in the place of that tower's logits: what a vector of zeros with a mark for it would give.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tunesmith.bases.family import VisionFamily, family_of
from tunesmith.bases.find import Found
from tunesmith.bases.load import load_net, quiet
from tunesmith.bases.processor import ImageProcessor, load_processor
from tunesmith.data import Record, Roles
from tunesmith.engine.network import Network
from tunesmith.engine.rested import RestedShortcuts
from tunesmith.errors import TunesmithError
from tunesmith.tasks import Encoded, Facts
from tunesmith.tasks._pixels import FOLDER, pixels_of

if TYPE_CHECKING:
    from tunesmith.plan import Plan
    from tunesmith.progress import Progress

ABSENT = "absent.safetensors"


@dataclass(frozen=True)
class Sight:
    """The base of a second tower, and what makes pixels of files for it."""

    found: Found
    family: VisionFamily
    processor: ImageProcessor

    def look(self, encoded: Encoded, records: Sequence[Record], roles: Roles) -> Encoded:
        """The rows with their images beside them."""
        assert roles.file is not None, "the plan's rules see to it"
        pixels = pixels_of(records, roles.file, self.processor, lacking=roles.fileless)
        return replace(encoded, beside=Encoded.of_pixels(pixels, encoded.targets, encoded.weights))


def sight_of(plan: "Plan", *, folder: Path | None = None) -> Sight | None:
    """What the plan's second tower sees with, its processor from a saved model's `folder`; None where there is no such
    tower. Raises TunesmithError for a base that cannot see or that the tower's method cannot work with."""
    if plan.tower is None:
        return None
    found = plan.tower.found()
    family = family_of(found.model_type, "image", found.config)
    assert isinstance(family, VisionFamily), "the purpose sees to it"
    if fault := plan.tower.method.base_objection(family):
        raise TunesmithError(f"tower.method: {fault}")
    if plan.tower.resolution is not None and not family.sized:
        raise TunesmithError(f"tower.resolution: a {family.name} learnt places for one size of image. Remove it")
    held = found if folder is None else replace(found, folder=folder / FOLDER)
    return Sight(found, family, load_processor(held, plan.tower.resolution))


class Tower(nn.Module):
    """The second network at work."""

    def __init__(self, plan: "Plan", facts: Facts, sight: Sight, auto: nn.Module) -> None:
        super().__init__()
        assert plan.tower is not None, "the plan's rules see to it"
        self.sight, self.method = sight, plan.tower.method
        self.net = Network(auto, 0, plan.task.outputs(facts))
        lacking = getattr(plan.task, "no_image", "refuse") == "learn"
        self.absent = nn.Parameter(torch.zeros(plan.task.outputs(facts))) if lacking else None
        quiet_words = plan.train.model_copy(update={"neftune": None})  # noise on words leaves images alone
        self.shortcuts = RestedShortcuts(
            self.net,
            sight.family,
            plan.model_copy(update={"method": self.method, "train": quiet_words, "penalties": ()}),
        )

    @property
    def family(self) -> VisionFamily:
        """Where things are in its architecture."""
        return self.sight.family

    def forward(self, encoded: Encoded, rows: Sequence[int]) -> torch.Tensor:
        """What it adds to the logits of some rows, (B, C) float32."""
        images = encoded.beside
        assert images is not None and images.pixels is not None, "rows bring images"
        logits_BC = self.shortcuts.way_for(images).logits(images, rows)
        if self.absent is None:
            return logits_BC
        assert images.pixels.there_N is not None, "some rows may lack an image"
        there_B = torch.from_numpy(images.pixels.there_N[list(rows)]).to(logits_BC.device)
        return torch.where(there_B[:, None], logits_BC, self.absent.to(logits_BC.dtype))

    def cache(self, sets: Mapping[str, Encoded], progress: "Progress") -> None:
        """Run the blocks that never move over the images of these sets."""
        self.shortcuts.cache({name: e.beside for name, e in sets.items() if e.beside is not None}, progress)

    def told(self) -> list[str]:
        """How it is run."""
        lines = [*self.shortcuts.taken, *(f"without {line}" for line in self.shortcuts.refused)]
        return [f"tower: {line}" for line in lines]

    def save(self, folder: Path) -> None:
        """A model folder of its own, as other tools read it, and what is answered without an image."""
        from safetensors.torch import save_file

        folder.mkdir()
        with quiet():
            self.method.save(self.net.auto, folder)
        self.sight.processor.save_pretrained(folder)
        if self.absent is not None:
            save_file({"absent": self.absent.detach().cpu().contiguous()}, str(folder / ABSENT))


def build_tower(plan: "Plan", facts: Facts, sight: Sight) -> Tower:
    """A fresh tower with its method applied."""
    assert plan.tower is not None, "the plan's rules see to it"
    return Tower(plan, facts, sight, plan.tower.method.apply(untuned_tower(plan, facts, sight), sight.family))


def load_tower(plan: "Plan", facts: Facts, sight: Sight, folder: Path) -> Tower:
    """A saved tower, from the folder of the whole model."""
    from safetensors.torch import load_file

    assert plan.tower is not None, "the plan's rules see to it"
    auto = plan.tower.method.load(untuned_tower(plan, facts, sight), sight.family, folder / FOLDER)
    made = Tower(plan, facts, sight, auto)
    if made.absent is not None:
        made.absent.data.copy_(load_file(str(folder / FOLDER / ABSENT))["absent"])
    return made


def untuned_tower(plan: "Plan", facts: Facts, sight: Sight) -> Any:
    """Its base with a new head, as transformers' Auto class."""
    names = {"id2label": dict(enumerate(facts.labels)), "label2id": {n: i for i, n in enumerate(facts.labels)}}
    head: dict[str, Any] = {"num_labels": plan.task.outputs(facts), "problem_type": plan.task.problem_type}
    return load_net(sight.found, purpose="image", **head | (names if facts.labels else {}))

"""Language models that see: a causal language model that reads what a vision tower says of an image among its words.

    image -> vision tower -> projector -> places (P, H) \\
                                                         blocks 0 .. D-1 -> norm -> language head
    text  -> word embeddings ---------------------------/

The blocks are those of the text part, named as in its own family, so that every method finds its layers there. The
vision tower and the projector run before the first block. Unless the task lets it learn, no method moves the tower.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tunesmith.bases.architecture import Family, Purpose, Sense
from tunesmith.errors import TunesmithError

if TYPE_CHECKING:
    import torch

ASKED = "tunesmith_vision"
"""Field of the configuration that says whether the vision tower learns."""
_INSIDE = "model.language_model"


@dataclass(frozen=True)
class SightedLanguage(Family):
    """A family of `AutoModelForImageTextToText` whose images become so many places each, whatever they show."""

    purpose: Purpose = "image_to_text"
    vision: str = "model.vision_tower"
    """Path of what sees."""
    projector: str = "model.multi_modal_projector"
    """Path of what makes states of the text part from that."""
    listed: bool = False
    """Whether the library hands on what it says of each image apart, in a list."""
    vision_rests: bool = True

    @property
    def sense(self) -> Sense:
        return "text beside images"

    def around(self, families: Mapping[str, Family], config: Mapping[str, Any]) -> "SightedLanguage":
        """The family of a base with that config.json, by the family of its text part. Raises TunesmithError for a text
        part that we have no row for."""
        kind = str(text_of(config).get("model_type", ""))
        text = families.get(kind)
        if text is None or not _writes(text):
            able = ", ".join(name for name, family in families.items() if _writes(family))
            raise TunesmithError(
                f"base: the text part of this {self.name} is a {kind or 'network without a name'}, and its layers are "
                f"not known here. Text parts that are: {able}"
            )
        inner = text.headless()
        names = ("query", "key", "value", "attention_out", "feed_forward_in", "feed_forward_out", "attention_norm",
                 "feed_forward", "feed_forward_norm")  # fmt: skip
        embeddings = (*(f"{_INSIDE}.{path}" for path in inner.embeddings), self.vision, self.projector)
        return replace(
            self, blocks=f"{_INSIDE}.{inner.blocks}", embeddings=embeddings, vision_rests=config.get(ASKED) != "learn",
            **{name: getattr(text, name) for name in names},
        )  # fmt: skip

    def resting(self, still: int) -> tuple[str, ...]:
        return (self.vision,) if self.vision_rests else ()

    def rests(self, parameter: str) -> bool:
        return self.vision_rests and self.bare(parameter).startswith(f"{self.vision}.")

    def width(self, config: Mapping[str, Any]) -> int:
        return super().width(text_of(config))

    def handed(self, features_BPH: "torch.Tensor") -> "torch.Tensor | list[torch.Tensor]":
        """What the projector said of images, as the library takes it."""
        return list(features_BPH) if self.listed else features_BPH


def _writes(family: Family) -> bool:
    return type(family) is Family and family.rotary and bool(family.language_head)


def text_of(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The section of a config.json that describes what reads and writes words; all of it where there is no other."""
    found: Mapping[str, Any] = config.get("text_config") or config
    return found


def _family(name: str, **more: Any) -> SightedLanguage:
    return SightedLanguage(
        name=name, trunk=_INSIDE, blocks=f"{_INSIDE}.layers", embeddings=(), head=(), reads="last", query="", key="",
        value="", attention_out="", feed_forward_in=(), feed_forward_out="", attention_norm="", feed_forward="",
        feed_forward_norm="", post_norm=False, prefix=False, decoder=True, rotary=True, language_head="lm_head", **more,
    )  # fmt: skip


SIGHTED = (_family("llava", listed=True), _family("paligemma"))

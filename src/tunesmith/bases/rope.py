"""Longer texts than a base was trained for: rotary positions, squeezed by a factor.

    linear   every position is divided by the factor: Chen et al. 2023, https://arxiv.org/abs/2306.15595
    yarn     only slow rotations are, and attention is sharpened: Peng et al. 2023, https://arxiv.org/abs/2309.00071

Both are functions of a token's place alone. `dynamic` is not: transformers scales by the longest text that a network
has seen so far, so that an answer would depend on what was asked before, and on which rows ran together.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from tunesmith.bases.family import FAMILIES
from tunesmith.described import Described


class Rope(Described):
    """How positions are scaled."""

    type: Literal["linear", "yarn", "dynamic"] = "yarn"
    """linear squeezes all positions alike; yarn leaves near ones as they are, and is better without much training.
    dynamic is refused: its answers depend on what was asked before."""
    factor: Annotated[float, Field(gt=1, le=1000)] = 2.0
    """How many times as many positions."""

    def objection(self) -> str | None:
        """Why not; None where it works."""
        if self.type != "dynamic":
            return None
        return (
            "rope: dynamic scales by the longest text seen so far, so an answer would depend on what was asked before. "
            "Use yarn, or linear"
        )

    def base_objection(self, config: dict[str, Any]) -> str | None:
        """Why not with a base of this config.json."""
        family = FAMILIES.get(str(config.get("model_type")))
        if family is None or not family.rotary:
            able = ", ".join(name for name, each in FAMILIES.items() if each.rotary)
            return f"base.rope: {config.get('model_type')} has no rotary positions to scale. Families that have: {able}"
        old = config.get("rope_scaling") or config.get("rope_parameters") or {}
        kind = old.get("rope_type", old.get("type", "default"))
        if kind != "default":
            return f"base.rope: the positions of this base are scaled already ({kind}). Remove rope"
        return None

    def positions(self, config: dict[str, Any]) -> int:
        """Places that there are then."""
        return int(int(config["max_position_embeddings"]) * self.factor)


def changes(rope: Rope, config: Any) -> dict[str, Any]:
    """Fields of a transformers configuration that differ from the base's own."""
    own = int(config.max_position_embeddings)
    scaled = {**config.rope_parameters, "rope_type": rope.type, "factor": rope.factor}
    if rope.type == "yarn":
        scaled["original_max_position_embeddings"] = own
    return {"rope_parameters": scaled, "max_position_embeddings": int(own * rope.factor)}

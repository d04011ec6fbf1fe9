"""Two towers: bases that make a vector of an image and a vector of a text, to be compared (CLIP, SigLIP).

    pixels -> vision blocks -> head -> vector (P)   \\
                                                      cosine * e^scale (+ bias)
    tokens -> text blocks   -> head -> vector (P)   /

The towers run side by side, so blocks are counted from the top, where they meet: block n is that block of every tower
that learns, and "the top 2" are the last two of each. A tower that does not learn (`task.towers`) has no blocks, no
head and no embeddings here: no method can touch it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tunesmith.bases.architecture import Family, Purpose, Sense, in_blocks, plain

if TYPE_CHECKING:
    from torch import nn

ASKED = "tunesmith_towers"
"""Field of the configuration that says which towers learn."""


@dataclass(frozen=True)
class Tower:
    """Where one of them is."""

    trunk: str
    config: str
    """Section of config.json that describes it."""
    before: tuple[str, ...]
    """Paths of what runs before its blocks."""
    head: str
    """Path of the module that makes its vector: a projection, or SigLIP's pooling by attention."""
    depth: int = 12
    """Blocks; the default of both libraries' configurations, which files may leave out."""

    @property
    def blocks(self) -> str:
        """Path of its blocks."""
        return f"{self.trunk}.encoder.layers"


@dataclass(frozen=True)
class TwoTowers(Family):
    """A family of two towers, or what is left of it where one learns. `blocks` is the path of the first tower's."""

    purpose: Purpose = "image_text"
    image: Tower = Tower("vision_model", "vision_config", ("vision_model.embeddings",), "")
    text: Tower = Tower("text_model", "text_config", ("text_model.embeddings",), "")
    loose: tuple[str, ...] = ("logit_scale",)
    """Single parameters of the head, which are in no module of their own."""
    resting_towers: tuple[Tower, ...] = ()
    whole_text: bool = False
    """Whether a text is always read at full length, padding and all, as SigLIP's are."""

    reads_end: bool = False
    """Whether a text is read at its end token, which config.json names, as CLIP's are."""

    @property
    def sense(self) -> Sense:
        return "images and texts"

    @property
    def learning(self) -> tuple[Tower, ...]:
        """The towers that learn."""
        return tuple(t for t in (self.image, self.text) if t not in self.resting_towers)

    def sized(self, config: Mapping[str, Any]) -> "TwoTowers":
        """The family of a base with that config.json, of which the asked towers learn."""
        image, text = (
            replace(t, depth=int((config.get(t.config) or {}).get("num_hidden_layers", t.depth)))
            for t in (self.image, self.text)
        )
        asked = config.get(ASKED, "both")
        rest = {"both": (), "image": (text,), "text": (image,)}[asked]
        made = replace(self, image=image, text=text, resting_towers=rest)
        towers = made.learning
        return replace(
            made, blocks=towers[0].blocks, trunk=towers[0].trunk, head=tuple(t.head for t in towers),
            embeddings=tuple(path for t in towers for path in t.before),
        )  # fmt: skip

    @property
    def _depth(self) -> int:
        return max(t.depth for t in self.learning)

    def _own(self, tower: Tower, blocks: Iterable[int]) -> list[int]:
        """Numbers in that tower of blocks that are counted from the top."""
        below = self._depth - tower.depth
        return [b - below for b in blocks if b >= below]

    def pattern(self, layers: Sequence[str], blocks: Iterable[int]) -> str:
        numbers = list(blocks)
        parts = [in_blocks(t.blocks, own, layers) for t in self.learning if (own := self._own(t, numbers))]
        return rf"(.*\.)?({'|'.join(parts)})"

    def block_list(self, net: "nn.Module") -> "list[nn.Module]":
        from torch import nn

        base = plain(net)
        stacks = [(self._depth - t.depth, list(base.get_submodule(t.blocks).children())) for t in self.learning]
        return [nn.ModuleList(stack[n - below] for below, stack in stacks if n >= below) for n in range(self._depth)]

    def block_of(self, parameter: str) -> int | None:
        name = self.bare(parameter)
        for tower in self.learning:
            if found := re.match(rf"{re.escape(tower.blocks)}\.(\d+)\.", name):
                return self._depth - tower.depth + int(found.group(1))
        return None

    def block_path(self, number: int) -> str:
        assert len(self.learning) == 1, "a block of two towers has no single path"
        return f"{self.blocks}.{number}"

    def in_block(self, path: str) -> str:
        stacks = "|".join(re.escape(t.blocks) for t in (self.image, self.text))
        return re.sub(rf"^({stacks})\.\d+\.", "", path)

    def resting(self, still: int) -> tuple[str, ...]:
        return tuple(t.trunk for t in self.resting_towers)

    def rests(self, parameter: str) -> bool:
        name = self.bare(parameter)
        return any(name.startswith((f"{t.trunk}.", f"{t.head}.")) for t in self.resting_towers)

    def is_head(self, parameter: str) -> bool:
        return self.bare(parameter) in self.loose or super().is_head(parameter)

    @property
    def head_modules(self) -> tuple[str, ...]:
        """Whole paths: SigLIP calls the last module of both towers `head`."""
        return self.head

    def width(self, config: Mapping[str, Any]) -> int:
        """Of the widest tower that learns."""
        return max(int((config.get(t.config) or {}).get("hidden_size", 768)) for t in self.learning)


def _family(name: str, image_head: str, text_head: str, **more: Any) -> TwoTowers:
    image = Tower("vision_model", "vision_config", ("vision_model.embeddings", *more.pop("before", ())), image_head)
    text = Tower("text_model", "text_config", ("text_model.embeddings",), text_head)
    return TwoTowers(
        name=name, trunk="vision_model", blocks=image.blocks, embeddings=(*image.before, *text.before),
        head=(image_head, text_head), reads="last", query="self_attn.q_proj", key="self_attn.k_proj",
        value="self_attn.v_proj", attention_out="self_attn.out_proj", feed_forward_in=("mlp.fc1",),
        feed_forward_out="mlp.fc2", attention_norm="layer_norm1", feed_forward="mlp", feed_forward_norm="layer_norm2",
        post_norm=False, prefix=False, image=image, text=text, **more,
    )  # fmt: skip


TOWERS = (
    _family("clip", "visual_projection", "text_projection", before=("vision_model.pre_layrnorm",), reads_end=True),
    _family("siglip", "vision_model.head", "text_model.head", loose=("logit_scale", "logit_bias"), whole_text=True),
)

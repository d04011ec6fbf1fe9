"""Expand: new blocks between the base's own learn, and every weight that the base came with stays.

    x -> block 0 -> block 1 -> [copy of block 1] -> block 2 -> block 3 -> [copy of block 3] -> …
                                learns                                     learns
    copy(x) = x + 0 + 0      its attention's and its feed-forward part's last products are zero at the start

Block expansion of LLaMA Pro: Wu et al. 2024, https://arxiv.org/abs/2401.02415. Each new block begins as the copy of the
one below it, with both products that write into the stream set to zero, so that the deeper network says exactly what
the base says. It is saved as a plain model of that depth.
"""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from pydantic import PositiveInt

from tunesmith.bases.family import plain
from tunesmith.errors import TunesmithError
from tunesmith.methods import Learnt, Method, _weights

if TYPE_CHECKING:
    from torch import nn

    from tunesmith.bases.family import Family


class Expand(Method):
    """New blocks that begin by changing nothing, spread evenly over the depth; they learn, and the head."""

    name: Literal["expand"] = "expand"
    blocks: PositiveInt = 2
    """How many; at most one behind each block of the base. LLaMA Pro has 8 for 32."""

    rate: ClassVar[float] = 2e-4
    width_power: ClassVar[int] = 1
    stays: ClassVar[str] = "its blocks make a deeper network, which is saved whole and plain already"
    prefer: ClassVar[str] = "a decoder must learn a new field and keep what it knows: its own weights stay"
    source: ClassVar[str] = "Wu et al. 2024, https://arxiv.org/abs/2401.02415"

    def base_objection(self, family: "Family") -> str | None:
        if family.decoder and family.purpose not in ("seq2seq", "image_to_text"):
            return None
        why = {
            "seq2seq": "is an encoder-decoder, whose stacks are counted apart",
            "speech": "is an encoder-decoder, whose stacks are counted apart",
            "sound": "hears sounds, with a head on all of its blocks as they were pretrained",
            "ctc": "hears sounds, with a head on all of its blocks as they were pretrained",
            "image": "sees images, and that a copied block changes nothing at first is shown for decoders alone",
            "image_to_text": "sees, and its configuration counts the blocks of two networks",
            "image_text": "has two towers, whose blocks are counted apart",
        }.get(family.purpose, "normalises behind each sum, so that a block that adds nothing still changes what passes "
                              "through it")  # fmt: skip
        return f"expand: {family.name} {why}. Use adapter or lora"

    def apply(self, net: "nn.Module", family: "Family") -> "nn.Module":
        if fault := self.base_objection(family):
            raise TunesmithError(f"method: {fault}")
        depth = len(family.block_list(net))
        if self.blocks > depth:
            raise TunesmithError(f"method.blocks: {self.blocks} new blocks asked for, and this base has {depth} blocks")
        places = new_places(depth, self.blocks)
        stack = cast("nn.ModuleList", plain(net).get_submodule(family.blocks))
        for place in places:
            stack.insert(place, _silent(stack[place - 1], family))
        _renumber(net, stack, places)
        return _weights.only(net, family, lambda name, parameter: family.block_of(name) in places)

    def moves_base(self) -> bool:
        return True  # the whole model is what is saved

    def save(self, net: "nn.Module", folder: Path) -> None:
        _weights.save(net, folder)

    def load(self, net: "nn.Module", family: "Family", folder: Path) -> "nn.Module":
        return _weights.load(net, folder)

    def learnt(self, net: "nn.Module", family: "Family", tokenizer: Any) -> list[Learnt]:
        blocks = family.block_list(net)
        rows = []
        for place in new_places(len(blocks) - self.blocks, self.blocks):
            sizes = [float(weight.detach().norm()) for weight in _writers(blocks[place], family)]
            rows.append((place, sizes[0], sizes[-1]))
        header = ("block", "attention", "feed-forward")
        return [Learnt("Length of what the new blocks write with (0 at the start)", header, tuple(rows))]


def new_places(depth: int, count: int) -> list[int]:
    """Numbers of the new blocks in the deeper network: one behind each of `count` groups of the old ones, as even as
    can be."""
    return [(i + 1) * depth // count + i for i in range(count)]


def _writers(block: "nn.Module", family: "Family") -> "list[nn.Parameter]":
    """Weights of the products that add to the stream: attention's first."""
    modules = [block.get_submodule(path) for path in (family.attention_out, family.feed_forward_out)]
    return [parameter for module in modules for parameter in module.parameters()]


def _silent(block: "nn.Module", family: "Family") -> "nn.Module":
    """A copy of a block that adds nothing to what passes through it. The configuration stays one object: by it blocks
    know which attention they run with."""
    shared = {id(module.config): module.config for module in block.modules() if hasattr(module, "config")}
    made = copy.deepcopy(block, shared)
    for weight in _writers(made, family):
        weight.detach().zero_()
    return made


def _renumber(net: "nn.Module", stack: "nn.ModuleList", places: list[int]) -> None:
    """Blocks know their number, by which they find their keys and values; the configuration knows how many they are,
    and in some families what kind each is."""
    config = _weights.config(net)
    config.num_hidden_layers = len(stack)
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        kinds = list(kinds)
        for place in places:
            kinds.insert(place, kinds[place - 1])
        config.layer_types = kinds
    for number, block in enumerate(stack):
        for module in block.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = number  # type: ignore[assignment]

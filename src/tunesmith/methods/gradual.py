"""Gradual thawing: the head learns first, then one more block every epoch, from the top.

    epoch   0     1     2     3
    head    moves moves moves moves
    top     .     moves moves moves
    next    .     .     moves moves

Howard & Ruder 2018 (ULMFiT), https://arxiv.org/abs/1801.06146, with their discriminative rates as `decay`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from tunesmith.methods import _peft, _weights

if TYPE_CHECKING:
    from torch import nn

    from tunesmith.bases.family import Family


class Gradual(_weights.OwnWeights):
    """Blocks thaw from the top, one every `every` epochs; embeddings stay fixed."""

    name: Literal["gradual"] = "gradual"
    every: PositiveInt = 1
    """Epochs between two blocks; the first block thaws after so many epochs with the head alone, if it is new."""
    depth: PositiveInt | None = None
    """How many blocks thaw at most; null: all."""
    decay: Annotated[float, Field(gt=0, le=1)] | None = None
    """Each block learns at this share of the rate of the block above it, e.g. 0.95; null: all at one rate."""

    rate: ClassVar[float] = 5e-5
    width_power: ClassVar[int] = 2
    space: ClassVar[Mapping[str, Any]] = {"decay": {"uniform": [0.7, 1.0]}}
    """Howard and Ruder 2018 thaw and decay together."""
    prefer: ClassVar[str] = "full tuning forgets what the base knew, and there are epochs enough to thaw"
    source: ClassVar[str] = "Howard & Ruder 2018, https://arxiv.org/abs/1801.06146"

    def apply(self, net: "nn.Module", family: "Family") -> "nn.Module":
        _peft.top_blocks(net, family, self.depth, "method.depth")
        _weights.only(net, family, lambda name, parameter: False)
        return net

    def thaw(self, net: "nn.Module", family: "Family", epoch: int) -> None:
        total = len(family.block_list(net))
        # a language model has no new head that could begin alone
        awoken = epoch // self.every + (not family.headed)
        first = total - min(awoken, self.depth or total)

        def awake(name: str, _: "nn.Parameter") -> bool:
            block = family.block_of(name)
            return block is not None and block >= first

        _weights.only(net, family, awake)

    def thaws(self) -> bool:
        return True

    def still(self, net: "nn.Module", family: "Family") -> int:
        return len(family.block_list(net)) - (self.depth or len(family.block_list(net)))

    def groups(self, net: "nn.Module") -> Mapping[str, float]:
        return {} if self.decay is None else _weights.by_depth(net, self.decay)

"""Full fine-tuning: every weight moves, lower blocks at lower rates if asked (Howard & Ruder 2018)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from tunesmith.methods import _weights

if TYPE_CHECKING:
    from torch import nn

    from tunesmith.bases.family import Family


class Full(_weights.OwnWeights):
    """Every weight of the base and its head moves."""

    name: Literal["full"] = "full"
    decay: Annotated[float, Field(gt=0, le=1)] | None = None
    """Each block learns at this share of the rate of the block above it, e.g. 0.9, the embeddings below the lowest at
    the same share of its (layer-wise decay); null: all at one rate."""

    rate: ClassVar[float] = 5e-5
    width_power: ClassVar[int] = 2
    space: ClassVar[Mapping[str, Any]] = {"decay": {"uniform": [0.7, 1.0]}}
    """Layer-wise decay: Howard and Ruder 2018 took 1/2.6, Clark et al. 2020 (ELECTRA) 0.8 to 0.9."""
    prefer: ClassVar[str] = "there are thousands of rows and the machine has the memory: the reference for quality"
    source: ClassVar[str] = "Devlin et al. 2019, https://arxiv.org/abs/1810.04805"

    def apply(self, net: "nn.Module", family: "Family") -> "nn.Module":
        net.requires_grad_(True)
        for name, parameter in net.named_parameters():
            if family.rests(name):
                parameter.requires_grad_(False)
        return net

    def groups(self, net: "nn.Module") -> Mapping[str, float]:
        return {} if self.decay is None else _weights.by_depth(net, self.decay)

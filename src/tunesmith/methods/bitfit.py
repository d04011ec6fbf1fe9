"""BitFit: only the biases learn, and the head.

    W x + b        W fixed, b learnt, in every linear layer and norm

Ben Zaken et al. 2022, https://arxiv.org/abs/2106.10199.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from tunesmith.errors import TunesmithError
from tunesmith.methods import _weights

if TYPE_CHECKING:
    from torch import nn

    from tunesmith.bases.family import Family


class BitFit(_weights.OwnWeights):
    """Every bias of the base moves, and nothing else but the head."""

    name: Literal["bitfit"] = "bitfit"

    rate: ClassVar[float] = 1e-3
    width_power: ClassVar[int] = 1
    prefer: ClassVar[str] = "the base is an encoder with biases and the change must be tiny and add no layer"
    source: ClassVar[str] = "Ben Zaken et al. 2022, https://arxiv.org/abs/2106.10199"

    def apply(self, net: "nn.Module", family: "Family") -> "nn.Module":
        names = [n for n in _weights.named(net, family) if n.endswith(".bias") and not family.is_head(n)]
        if not names:
            raise TunesmithError(
                f"method: bitfit trains biases, and a {family.name} base has none outside its head. "
                "Use lora, or ia3 for as few parameters"
            )
        return _weights.only(net, family, lambda name, parameter: name.endswith(".bias"))

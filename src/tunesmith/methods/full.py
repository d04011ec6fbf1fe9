"""Full fine-tuning: every weight moves."""

from typing import TYPE_CHECKING, ClassVar, Literal

from tunesmith.methods import _weights

if TYPE_CHECKING:
    from torch import nn

    from tunesmith.bases.family import Family


class Full(_weights.OwnWeights):
    """Every weight of the base and its head moves."""

    name: Literal["full"] = "full"

    rate: ClassVar[float] = 5e-5
    width_power: ClassVar[int] = 2
    prefer: ClassVar[str] = "there are thousands of rows and the machine has the memory: the reference for quality"
    source: ClassVar[str] = "Devlin et al. 2019, https://arxiv.org/abs/1810.04805"

    def apply(self, net: "nn.Module", family: "Family") -> "nn.Module":
        net.requires_grad_(True)
        for name, parameter in net.named_parameters():
            if family.rests(name):
                parameter.requires_grad_(False)
        return net

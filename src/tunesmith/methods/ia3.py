"""IA3: learn one scale for each key, value and feed-forward channel.

    k = l_k * (W_k x)    v = l_v * (W_v x)    y = W_2 (l_ff * act(W_1 x))        l = 1 at the start

Liu et al. 2022, https://arxiv.org/abs/2205.05638.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveInt

from tunesmith.methods import Method, _peft

if TYPE_CHECKING:
    from torch import nn

    from tunesmith.bases.family import Family


class IA3(Method):
    """Scales on keys, values and the inner feed-forward activations; merges into the base."""

    name: Literal["ia3"] = "ia3"
    top: PositiveInt | None = None
    """Only in the top k blocks; the blocks below never move and cost no gradients."""

    rate: ClassVar[float] = 1e-2
    mergeable: ClassVar[bool] = True
    prefer: ClassVar[str] = "thousands of tuned models must be kept: a few vectors each, nothing left at run time"
    source: ClassVar[str] = "Liu et al. 2022, https://arxiv.org/abs/2205.05638"

    def base_objection(self, family: "Family") -> str | None:
        if family.key:
            return None
        return f"ia3 scales keys and values, and {family.name} has no attention. Use lora, adapter or bitfit"

    def keeps_base(self) -> bool:
        return True

    def apply(self, net: "nn.Module", family: "Family") -> "nn.Module":
        blocks = _peft.top_blocks(net, family, self.top)
        inner = (family.feed_forward_out,)
        return _peft.wrap(
            net,
            family,
            "IA3Config",
            target_modules=family.pattern((family.key, family.value, *inner), blocks),
            feedforward_modules=family.pattern(inner, blocks),
        )

    def groups(self, net: "nn.Module") -> Mapping[str, float]:
        return _peft.head_factor(net, self.rate)

    def save(self, net: "nn.Module", folder: Path) -> None:
        _peft.save(net, folder)

    def load(self, net: "nn.Module", family: "Family", folder: Path) -> "nn.Module":
        return _peft.load(net, folder, "IA3")

    def fold(self, net: "nn.Module") -> "nn.Module":
        return _peft.folded(net)

"""AdapterFusion: several runs' adapters at once, weighed at each place by what is read there.

    a = softmax_n((Q u) . (K z_n))        u: what stands at the place, z_n: what the adapter of run n would add to it
    u + V sum_n a_n z_n                   only Q, K, V and the head learn; base and adapters stay as they are

K = 0 and V = 1 at the start, so that step 0 is the mean of the adapters, and Q, K, V are of the width of the place. V
is held near 1 by a term of the loss. Parts may come from runs of other tasks and labels: their heads are left behind.

Pfeiffer et al. 2021, https://arxiv.org/abs/2005.00247. The layer itself is in `tunesmith/peft/fusion.py`.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from tunesmith.bases.family import TwoTowers, plain
from tunesmith.methods import Ecosystem, Learnt, Method, _fused, _peft

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tunesmith.bases.family import Family


class Fusion(Method):
    """Several finished runs' adapters, frozen, and a learnt attention over what each would add."""

    name: Literal["fusion"] = "fusion"
    of: tuple[str, ...] = Field(min_length=2)
    """Folders of finished runs of adapter or lora on the same base, with adapters in the same places. Their weights are
    kept in this run, so that they may be deleted when it is done."""
    values: bool = True
    """Whether V learns, H x H weights a place; false: parts are weighed and not changed."""
    pull: Annotated[float, Field(ge=0)] = 0.01
    """Strength of the term that holds V near 1: pull * sum |V - 1|^2, as in the authors' code."""

    rate: ClassVar[float] = 5e-4
    width_power: ClassVar[int] = 1
    ecosystem: ClassVar[Ecosystem] = "tunesmith"
    stays: ClassVar[str] = "which adapter counts depends on what is read, and no matrix of a layer equals that"
    prefer: ClassVar[str] = "adapters of several tasks, brands or domains are there, and new rows may need any of them"
    source: ClassVar[str] = "Pfeiffer et al. 2021, https://arxiv.org/abs/2005.00247"

    def objection(self, plan: Any) -> str | None:
        if self.start is not None:
            return "fusion: it begins with the runs it is made of, and start names another beginning. Remove start"
        if twice := sorted({run for run in self.of if self.of.count(run) > 1}):
            return f"fusion: {twice[0]} stands twice in of; keep one"
        if not self.values and self.differs("pull"):
            return "fusion: pull holds V near 1, and with values: false V is 1. Remove pull"
        return None

    def sources(self) -> tuple[str, ...]:
        return self.of

    def keeps_base(self) -> bool:
        return True

    def apply(self, net: "nn.Module", family: "Family") -> "nn.Module":
        parts = [_fused.read(run) for run in self.of]
        places = _fused.placed(net, parts)
        if isinstance(family, TwoTowers):  # a tower that does not learn stays as it is
            places = {path: each for path, each in places.items() if family.block_of(f"{path}.") is not None}
        net = _peft.wrap(
            net,
            family,
            "FusionConfig",
            target_modules="|".join(map(re.escape, places)),
            parts=[part.told for part in parts],
            mode=parts[0].mode,
            values=self.values,
        )
        _fused.fill(net, places)
        return net

    def extra_loss(self, net: "nn.Module") -> "Tensor | None":
        import torch

        if not (self.values and self.pull):
            return None
        gaps = []
        for name, value in net.named_parameters():
            if ".fusion_value." in name:
                matrix = value.flatten(1)
                gaps.append((matrix - torch.eye(len(matrix), device=value.device, dtype=value.dtype)).square().sum())
        return self.pull * torch.stack(gaps).sum()

    def save(self, net: "nn.Module", folder: Path) -> None:
        _peft.save(net, folder)

    def load(self, net: "nn.Module", family: "Family", folder: Path) -> "nn.Module":
        import tunesmith.peft

        return _peft.load(net, folder, tunesmith.peft.FUSION)

    def learnt(self, net: "nn.Module", family: "Family", tokenizer: Any) -> list[Learnt]:
        rows, names = [], [part["name"] for part in _peft.settings_of(net).parts]
        for path, layer in plain(net).named_modules():
            if total := sum(getattr(layer, "attended", ())):
                shares = [share / total for share in layer.attended]
                rows.append((path.removeprefix(f"{family.blocks}."), *shares))
        if not rows:
            return []
        caption = "Attention to each part, mean over what was read after training"
        return [Learnt(caption, ("place", *names), tuple(rows))]

"""LoRA: learn a low-rank update beside each frozen weight.

    W x  ->  W x + (alpha / r) B A x        A: (r, d_in)    B: (d_out, r), zero at the start

Hu et al. 2021, https://arxiv.org/abs/2106.09685. Variants of the same update, so a field and not a file:
    rslora   alpha / sqrt(r) instead of alpha / r: Kalajdzievski 2023, https://arxiv.org/abs/2312.03732
    dora     m (W + dW) / |W + dW| with learnt row norms m: Liu et al. 2024, https://arxiv.org/abs/2402.09353
    adalora  ranks are moved to where they matter: Zhang et al. 2023, https://arxiv.org/abs/2303.10512
    vera     A, B random and shared, only scales learn: Kopiczko et al. 2024, https://arxiv.org/abs/2310.11454
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

from pydantic import Field, PositiveInt

from tunesmith.bases.family import plain
from tunesmith.bases.quant import weight_of
from tunesmith.errors import TunesmithError
from tunesmith.methods import Grid, Learnt, Method, _adalora, _peft, _pissa

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tunesmith.bases.family import Family


class LoRA(Method):
    """A low-rank update of chosen linear layers; merges into the base."""

    name: Literal["lora"] = "lora"
    r: PositiveInt = 8
    """Rank; parameters and memory grow linearly with it. For adalora the mean rank at the end."""
    alpha: PositiveInt = 16
    """Scale of the update; 2r is a safe start. vera has none."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on the input of A."""
    targets: Literal["qv", "attention", "all"] | tuple[str, ...] = "all"
    """Layers that get an update: query and value; all of attention; every linear layer; or a list of layer names."""
    top: PositiveInt | None = None
    """Only in the top k blocks; the blocks below never move and cost no gradients."""
    variant: Literal["lora", "rslora", "dora", "adalora", "vera"] = "lora"
    """Which update; see the top of this page."""
    init: Literal["zero", "pissa"] = "zero"
    """zero: B = 0, so step 0 is the base. pissa: A, B from the largest singular vectors; saved as plain LoRA of 2r."""
    plus: Annotated[float, Field(ge=1)] | None = None
    """LoRA+: B learns so many times faster than A, e.g. 16."""
    budget: _adalora.Budget = _adalora.Budget()
    """How adalora's ranks shrink."""

    rate: ClassVar[float] = 5e-4
    width_power: ClassVar[int] = 1
    grid: ClassVar[Grid] = (*Method.grid, {"r": 32, "alpha": 64})
    """A rank of 8 is usually enough (Hu et al. 2021, section 7.2); 32 shows where it is not."""
    mergeable: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Any]] = {
        "r": {"choice": [4, 8, 16, 32]}, "alpha": {"times": [2, "method.r"]}, "targets": {"choice": ["qv", "all"]},
    }  # fmt: skip
    """Ranks that Hu et al. tried (their table 6), alpha 2r so that rank and scale are not confounded, and their two
    choices of layers."""
    prefer: ClassVar[str] = "nothing else speaks: near full tuning in quality, small files, nothing left at run time"
    source: ClassVar[str] = "Hu et al. 2021, https://arxiv.org/abs/2106.09685"

    def objection(self, plan: Any) -> str | None:
        if self.init == "pissa" and self.variant not in ("lora", "rslora"):
            return f"lora: init pissa starts a plain update and does not go with variant {self.variant}; use init zero"
        if self.plus is not None and self.variant in ("adalora", "vera"):
            return f"lora: plus is a rate for LoRA's B, which {self.variant} does not have in that role; remove plus"
        if self.variant == "vera" and self.alpha != LoRA.model_fields["alpha"].default:
            return "lora: vera has no alpha, its scales learn; remove alpha"
        if self.variant != "adalora" and self.budget != _adalora.Budget():
            return f"lora: budget belongs to variant adalora, and this is {self.variant}; remove budget"
        if isinstance(self.targets, tuple) and not self.targets:
            return "lora: targets is empty, so nothing would learn; give layer names, or qv, attention or all"
        return None

    def base_objection(self, family: "Family") -> str | None:
        if family.query:
            return None
        if self.targets in ("qv", "attention"):
            return f"lora: targets {self.targets}, and {family.name} has no attention; use targets: all"
        if self.variant in ("adalora", "vera") or self.init == "pissa":
            odd = "init pissa" if self.init == "pissa" else f"variant {self.variant}"
            return f"lora: {odd} updates matrices, and the layers of {family.name} are convolutions; use variant lora"
        return None

    def moves_base(self) -> bool:
        return self.init == "pissa"  # what A and B start with is taken out of the weight

    def keeps_base(self) -> bool:
        return self.init != "pissa"

    def searched(self) -> Mapping[str, Any]:
        odd = {"vera": ("r", "alpha")}.get(self.variant, ())  # its rank costs nothing, and it has no alpha
        return {field: given for field, given in self.space.items() if field not in odd}

    def auto_rate(self) -> float:
        return {"adalora": 1.5e-3, "vera": 5e-3}.get(self.variant, self.rate)

    def apply(self, net: "nn.Module", family: "Family") -> "nn.Module":
        if fault := self.objection(None):
            raise TunesmithError(f"method: {fault}")
        targets = family.pattern(self._layers(net, family), _peft.top_blocks(net, family, self.top))
        if self.variant == "vera":
            config, special = "VeraConfig", {"r": self.r, "vera_dropout": self.dropout, "save_projection": True}
        else:
            config, special = self._lora_settings()
        net = _peft.wrap(net, family, config, target_modules=targets, **special)
        if self.init == "pissa":
            _pissa.remember(net)
        return net

    def _lora_settings(self) -> tuple[str, dict[str, Any]]:
        common: dict[str, Any] = {"lora_alpha": self.alpha, "lora_dropout": self.dropout}
        if self.variant == "adalora":
            return "AdaLoraConfig", common | _adalora.settings(self.r, self.budget)
        return "LoraConfig", common | {
            "r": self.r,
            "use_rslora": self.variant == "rslora",
            "use_dora": self.variant == "dora",
            "init_lora_weights": "pissa" if self.init == "pissa" else True,
        }

    def _layers(self, net: "nn.Module", family: "Family") -> tuple[str, ...]:
        if isinstance(self.targets, tuple):
            return tuple(_peft.check_layers(net, family, self.targets))
        attention = (family.query, family.key, family.value, family.attention_out)
        return {"qv": (family.query, family.value), "attention": attention, "all": family.linears}[self.targets]

    def groups(self, net: "nn.Module") -> Mapping[str, float]:
        heads = _peft.head_factor(net, self.auto_rate())
        if self.plus is None:
            return heads
        return heads | {n: self.plus for n, p in net.named_parameters() if p.requires_grad and ".lora_B." in n}

    def extra_loss(self, net: "nn.Module") -> "Tensor | None":
        weight = self.budget.orthogonality
        return _adalora.penalty(net, weight) if self.variant == "adalora" and weight else None

    def after_step(self, net: "nn.Module", step: int, total: int) -> None:
        if self.variant == "adalora":
            _adalora.after_step(net, self.budget, step, total)

    def state(self, net: "nn.Module") -> "dict[str, Tensor]":
        return _adalora.state(net) if self.variant == "adalora" else {}

    def restore(self, net: "nn.Module", state: "Mapping[str, Tensor]") -> None:
        if self.variant == "adalora":
            _adalora.restore(net, state)

    def save(self, net: "nn.Module", folder: Path) -> None:
        writer = _pissa.save if self.init == "pissa" else _adalora.save if self.variant == "adalora" else _peft.save
        writer(net, folder)

    def load(self, net: "nn.Module", family: "Family", folder: Path) -> "nn.Module":
        if self.variant == "adalora":
            return _adalora.load(net, folder)
        return _peft.load(net, folder, "VERA" if self.variant == "vera" else "LORA")

    def fold(self, net: "nn.Module") -> "nn.Module":
        return _peft.folded(net)

    def shares(self) -> bool:
        return self.variant in ("lora", "rslora", "dora")

    def join(self, net: "nn.Module", folder: Path, name: str) -> None:
        _peft.join(net, folder, name)

    def use(self, net: "nn.Module", name: str) -> None:
        _peft.use(net, name)

    def learnt(self, net: "nn.Module", family: "Family", tokenizer: Any) -> list[Learnt]:
        from peft.tuners.tuners_utils import BaseTunerLayer

        rows = []
        for path, layer in plain(net).named_modules():
            if isinstance(layer, BaseTunerLayer) and hasattr(layer, "get_delta_weight"):
                update, weight = _update(net, path, layer)
                size = float(update.norm() / weight.norm())
                rows.append((path.removeprefix(f"{family.blocks}."), size, effective_rank(update)))
        header = ("layer", "|update| / |weight|", "effective rank")
        return [Learnt("How far each layer moved, and in how many directions", header, tuple(rows))]


def effective_rank(update: "Tensor") -> float:
    """exp of the entropy of the normalised singular values (Roy & Vetterli 2007): 1 for one direction, 0 for none."""
    import torch

    values = torch.linalg.svdvals(update)
    share = values[values > 0] / values.sum()
    return float(torch.exp(-(share * share.log()).sum())) if len(share) else 0.0


def _update(net: "nn.Module", path: str, layer: Any) -> "tuple[Tensor, Tensor]":
    """The change of a layer's weight and the base's weight, both in float32."""
    weight = weight_of(layer.get_base_layer()).flatten(1)  # a convolution is a matrix of patches
    name = next(n for n in layer.active_adapters if n in getattr(layer, "scaling", {n: None}))
    update = cast("Tensor", layer.get_delta_weight(name)).detach().float().flatten(1)
    if name in getattr(layer, "lora_magnitude_vector", {}):
        norms = (weight + update).norm(dim=1, keepdim=True)
        return layer.lora_magnitude_vector[name].weight.detach().flatten()[:, None] * (
            weight + update
        ) / norms - weight, weight
    first = _pissa.start(net, path)
    if first is not None:  # the base in memory is the residual
        a0, b0 = first
        moved = layer.scaling[name] * (b0 @ a0)
        return update - moved, weight + moved
    return update, weight

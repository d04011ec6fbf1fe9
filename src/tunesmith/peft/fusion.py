"""AdapterFusion as a PEFT method, type FUSION: several frozen adapters at one place, weighed by a learnt attention.

    a = softmax_n((Q u) . (K z_n))        u: what stands at the place, z_n: what part n would add to it
    u + V sum_n a_n z_n                   K = 0 and V = 1 at the start, so that step 0 is the mean of the parts

    mode      wraps                     u                            parts
    after     a layer, y = f(x)         y                            bottlenecks on y or x, LoRA: s B A x
    residual  f(h, x), which adds x     x                            parallel bottlenecks in BERT's layout
    norm      the norm after the sum    norm(z), and z + … again     Pfeiffer bottlenecks in BERT's layout

At every token, or at every pixel, by itself. Pfeiffer et al. 2021, https://arxiv.org/abs/2005.00247.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import register_peft_method
from peft.utils.peft_types import PeftType
from torch import Tensor, nn
from transformers.activations import ACT2FN

from tunesmith.peft.bottleneck import BottleneckModel, add_type, mixing, width_of

NAME = "FUSION"
add_type(NAME)


@dataclass
class FusionConfig(PeftConfig):
    """Settings of a fusion, as written in adapter_config.json."""

    parts: list[dict[str, Any]] = field(
        default_factory=list,
        metadata={"help": "Of each part: name, sha256, kind, size or reduction, activation, scale, reads"},
    )
    mode: Literal["after", "residual", "norm"] = field(default="after", metadata={"help": "See the module"})
    values: bool = field(default=True, metadata={"help": "Whether V learns; it is 1 otherwise"})
    target_modules: list[str] | str | None = field(default=None, metadata={"help": "Names or a regular expression"})
    exclude_modules: list[str] | str | None = field(default=None, metadata={"help": "Names that are left alone"})
    layers_to_transform: list[int] | int | None = field(default=None, metadata={"help": "Block numbers"})
    layers_pattern: list[str] | str | None = field(default=None, metadata={"help": "Name of the list of blocks"})
    modules_to_save: list[str] | None = field(default=None, metadata={"help": "Modules trained beside, such as heads"})

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[no-untyped-call]
        self.peft_type = PeftType[NAME]


class FusedPart(nn.Module):
    """One adapter that no longer learns: what it would add to u, z = s B act(A entry)."""

    def __init__(self, base: nn.Module, told: dict[str, Any], width: int, *, seen: bool) -> None:
        super().__init__()
        self.activation, self.scale, self.reads = told["activation"], float(told["scale"]), told["reads"]
        if told["kind"] == "lora":
            self.down: nn.Module = _entry_of(base, told["size"])
            self.up: nn.Module = mixing(told["size"], width, seen=seen, bias=False)
        else:
            size = told["size"] or max(1, width // told["reduction"])
            self.down, self.up = mixing(width, size, seen=seen), mixing(size, width, seen=seen)

    def forward(self, entry: Tensor) -> Tensor:
        """What it adds, of the width of the place."""
        inner = self.down(entry.to(next(self.down.parameters()).dtype))
        added: Tensor = self.scale * self.up(inner if self.activation is None else ACT2FN[self.activation](inner))
        return added


def _entry_of(base: Any, rank: int) -> nn.Module:
    """LoRA's A: it reads what the layer reads, as the layer reads it."""
    if isinstance(base, nn.Conv2d):
        how: dict[str, Any] = {"stride": base.stride, "padding": base.padding, "dilation": base.dilation}
        return nn.Conv2d(base.in_channels, rank, base.kernel_size, bias=False, **how)  # type: ignore[arg-type]
    width = getattr(base, "in_features", None) or base.nx  # GPT-2's layers are called otherwise
    return nn.Linear(width, rank, bias=False)


class FusionLinearLayer(nn.Module, BaseTunerLayer):
    """A module with fused adapters at it. ("Linear" in the name keeps PEFT's all-linear matching inside.)"""

    adapter_layer_names = ("fusion_query", "fusion_key", "fusion_value")
    other_param_names = ("fusion_parts",)

    def __init__(
        self, base_layer: nn.Module, adapter_name: str, config: FusionConfig, width: int, *, seen: bool = False
    ) -> None:
        super().__init__()
        self.base_layer, self.is_convolution = base_layer, seen
        self.in_features = self.out_features = width
        self.fusion_query, self.fusion_key, self.fusion_value = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        self.fusion_parts = nn.ModuleDict()
        self.modes: dict[str, str] = {}
        self.attended: list[float] = []
        """Attention to each part, summed over all positions that were read since training."""
        self.merged_adapters: list[str] = []
        self._disable_adapters = False
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: FusionConfig) -> None:
        """Add a fusion of that name: parts without their weights yet, Q drawn, K zero, V one."""
        width, seen = self.in_features, self.is_convolution
        parts = [FusedPart(self.get_base_layer(), told, width, seen=seen) for told in config.parts]
        self.fusion_parts[adapter_name] = nn.ModuleList(parts).requires_grad_(False)
        query, key = mixing(width, width, seen=seen), mixing(width, width, seen=seen)
        zeros: tuple[Any, ...] = (query.bias, key.weight, key.bias)
        for zero in zeros:
            nn.init.zeros_(zero)
        self.fusion_query[adapter_name], self.fusion_key[adapter_name] = query, key
        if config.values:
            value = mixing(width, width, seen=seen, bias=False)
            with torch.no_grad():
                value.weight.copy_(torch.eye(width).reshape(value.weight.shape))
            self.fusion_value[adapter_name] = value
        self.modes[adapter_name] = config.mode
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Refused: which part counts depends on what is read."""
        raise NotImplementedError("a fusion weighs its parts anew at each place, so it cannot be merged into the base")

    def unmerge(self) -> None:
        """Nothing is ever merged."""

    def train(self, mode: bool = True) -> "FusionLinearLayer":
        """As torch has it; what was attended to before is forgotten where training goes on."""
        if mode:
            self.attended = []
        return super().train(mode)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """What the wrapped module computes, with the fused parts in their place."""
        name = next((n for n in self.active_adapters if n in self.fusion_query), None)
        if name is None or self.disable_adapters:
            return self.base_layer(x, *args, **kwargs)
        if self.modes[name] == "residual":
            entry = args[0]
            return self.base_layer(x, entry + self._fused(name, entry, entry), *args[1:], **kwargs)
        y = self.base_layer(x, *args, **kwargs)
        if self.modes[name] == "norm":
            return self.base_layer(x + self._fused(name, y, y), *args, **kwargs)
        return y + self._fused(name, y, x)

    def _fused(self, name: str, state: Tensor, entry: Tensor) -> Tensor:
        """V sum_n a_n z_n, of the shape of `state`: tokens (…, H), or maps (B, H, …). `entry`: what the wrapped module
        read. P parts stand before H."""
        query, key = self.fusion_query[name], self.fusion_key[name]
        kind = next(query.parameters()).dtype
        place = 1 if self.is_convolution else state.dim() - 1
        parts: Any = self.fusion_parts[name]
        outputs = [part(state if part.reads == "y" else entry).to(kind) for part in parts]
        asked = query(state.to(kind))
        scores = torch.stack([(asked * key(z)).sum(place) for z in outputs], place)
        shares = scores.softmax(place)
        if not self.training:
            found = shares.detach().movedim(place, 0).flatten(1).sum(1).tolist()
            self.attended = [a + b for a, b in zip(self.attended or [0.0] * len(found), found, strict=True)]
        mixed = (shares.unsqueeze(place + 1) * torch.stack(outputs, place)).sum(place)
        if name in self.fusion_value:
            mixed = self.fusion_value[name](mixed)
        return mixed.to(state.dtype)


class FusionModel(BaseTuner):
    """Puts fusions around the targets of a model."""

    prefix = "fusion_"
    tuner_layer_cls = FusionLinearLayer
    target_module_mapping = BottleneckModel.target_module_mapping

    def _create_and_replace(  # noqa: PLR0913  # PEFT's signature
        self,
        peft_config: Any,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        if isinstance(target, FusionLinearLayer):
            target.update_layer(adapter_name, peft_config)
            return
        width, seen = width_of(target, self.model.config)
        made = FusionLinearLayer(target, adapter_name, peft_config, width, seen=seen)
        if adapter_name not in self.active_adapters:
            made.requires_grad_(False)
        setattr(parent, target_name, made)


if NAME not in __import__("peft").PEFT_TYPE_TO_CONFIG_MAPPING:
    register_peft_method(name=NAME.lower(), config_cls=FusionConfig, model_cls=FusionModel)

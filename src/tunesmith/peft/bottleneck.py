"""Bottleneck adapters as a PEFT method, type BOTTLENECK.

    A(u) = W_up act(W_down u + b_down) + b_up        W_up = 0 at the start, so that step 0 is the base

    mode      wraps                     computes                      used for
    output    a layer, y = f(x)         f(x) + s A(f(x))              Houlsby; Pfeiffer before the sum (Llama)
    beside    a sublayer, y = f(x)      f(x) + s A(x)                 parallel
    residual  f(h, x), which adds x     f(h, x + s A(x))              parallel in BERT's layout
    norm      the norm after the sum    norm(z + s A(norm(z)))        Pfeiffer after the sum (BERT)

Around convolutions W_down and W_up are convolutions of 1 x 1: the same bottleneck at every pixel.

Houlsby et al. 2019, https://arxiv.org/abs/1902.00751; Pfeiffer et al. 2021, https://arxiv.org/abs/2005.00247; He et al.
2022, https://arxiv.org/abs/2110.04366. PEFT 0.21 has no bottleneck adapter, and AdapterHub none for transformers 5.
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

NAME = "BOTTLENECK"


def add_type(name: str) -> None:
    """One more member of PEFT's closed enumeration of methods; `register_peft_method` asks for it."""
    if name not in PeftType.__members__:
        member = str.__new__(PeftType, name)
        member._name_, member._value_ = name, name
        PeftType._member_names_.append(name)
        PeftType._member_map_[name] = member
        PeftType._value2member_map_[name] = member
        type.__setattr__(PeftType, name, member)


add_type(NAME)


@dataclass
class BottleneckConfig(PeftConfig):
    """Settings of one bottleneck adapter, as written in adapter_config.json."""

    bottleneck_size: int = field(default=64, metadata={"help": "Width of the bottleneck"})
    reduction: int | None = field(default=None, metadata={"help": "Instead: the place's width by this, at least 1"})
    activation: str = field(default="relu", metadata={"help": "Activation inside, by its transformers name"})
    scale: float = field(default=1.0, metadata={"help": "Factor s of the adapter's output"})
    dropout: float = field(default=0.0, metadata={"help": "Dropout on the adapter's input"})
    mode: Literal["output", "beside", "residual", "norm"] = field(default="output", metadata={"help": "See the module"})
    target_modules: list[str] | str | None = field(default=None, metadata={"help": "Names or a regular expression"})
    exclude_modules: list[str] | str | None = field(default=None, metadata={"help": "Names that are left alone"})
    layers_to_transform: list[int] | int | None = field(default=None, metadata={"help": "Block numbers"})
    layers_pattern: list[str] | str | None = field(default=None, metadata={"help": "Name of the list of blocks"})
    modules_to_save: list[str] | None = field(default=None, metadata={"help": "Modules trained beside, such as heads"})

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[no-untyped-call]
        self.peft_type = PeftType[NAME]
        if isinstance(self.target_modules, list):
            self.target_modules = set(self.target_modules)  # type: ignore[assignment]  # as PEFT keeps it


class BottleneckLinearLayer(nn.Module, BaseTunerLayer):
    """A module with bottleneck adapters around it. ("Linear" in the name keeps PEFT's all-linear matching inside.)"""

    adapter_layer_names = ("bottleneck_down", "bottleneck_up")
    other_param_names = ("bottleneck_settings",)

    def __init__(
        self, base_layer: nn.Module, adapter_name: str, config: BottleneckConfig, width: int, *, seen: bool = False
    ) -> None:
        super().__init__()
        self.base_layer, self.is_convolution = base_layer, seen
        self.in_features = self.out_features = width
        self.bottleneck_down, self.bottleneck_up = nn.ModuleDict(), nn.ModuleDict()
        self.bottleneck_settings: dict[str, BottleneckConfig] = {}
        self.merged_adapters: list[str] = []
        self._disable_adapters = False
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: BottleneckConfig) -> None:
        """Add an adapter of that name: down-projection drawn as LoRA's A, everything else zero."""
        outer, inner = self.in_features, config.bottleneck_size
        inner = inner if config.reduction is None else max(1, outer // config.reduction)
        down, up = mixing(outer, inner, seen=self.is_convolution), mixing(inner, outer, seen=self.is_convolution)
        zeros: tuple[Any, ...] = (down.bias, up.weight, up.bias)
        for zero in zeros:
            nn.init.zeros_(zero)
        self.bottleneck_down[adapter_name], self.bottleneck_up[adapter_name] = down, up
        self.bottleneck_settings[adapter_name] = config
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Refused: an adapter has a non-linearity inside."""
        raise NotImplementedError("bottleneck adapters are not linear, so they cannot be merged into the base")

    def unmerge(self) -> None:
        """Nothing is ever merged."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """What the wrapped module computes, with the active adapters in their places."""
        active = [n for n in self.active_adapters if n in self.bottleneck_down and not self.disable_adapters]
        if not active:
            return self.base_layer(x, *args, **kwargs)
        mode = self.bottleneck_settings[active[0]].mode
        if mode == "residual":
            entry = args[0]
            return self.base_layer(x, entry + self._adapted(entry, active), *args[1:], **kwargs)
        y = self.base_layer(x, *args, **kwargs)
        if mode == "norm":
            return self.base_layer(x + self._adapted(y, active), *args, **kwargs)
        return y + self._adapted(x if mode == "beside" else y, active)

    def _adapted(self, u: Tensor, active: list[str]) -> Tensor:
        """Sum over the active adapters of s A(u)."""
        total = torch.zeros_like(u)
        for name in active:
            settings, down, up = self.bottleneck_settings[name], self.bottleneck_down[name], self.bottleneck_up[name]
            entry = self._cast_input_dtype(u, next(down.parameters()).dtype)
            inner = ACT2FN[settings.activation](down(nn.functional.dropout(entry, settings.dropout, self.training)))
            total = total + settings.scale * up(inner).to(u.dtype)
        return total


class BottleneckModel(BaseTuner):
    """Puts bottleneck layers around the targets of a model."""

    prefix = "bottleneck_"
    tuner_layer_cls = BottleneckLinearLayer
    target_module_mapping = {  # as PEFT declares it
        "bert": ["attention.output.dense", "output.dense"],
        "roberta": ["attention.output.dense", "output.dense"],
        "xlm-roberta": ["attention.output.dense", "output.dense"],
        "electra": ["attention.output.dense", "output.dense"],
        "deberta-v2": ["attention.output.dense", "output.dense"],
        "distilbert": ["out_lin", "lin2"],
        "llama": ["o_proj", "down_proj"],
        "qwen2": ["o_proj", "down_proj"],
    }

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
        if isinstance(target, BottleneckLinearLayer):
            target.update_layer(adapter_name, peft_config)
            return
        width, seen = width_of(target, self.model.config)
        made = BottleneckLinearLayer(target, adapter_name, peft_config, width, seen=seen)
        if adapter_name not in self.active_adapters:
            made.requires_grad_(False)
        setattr(parent, target_name, made)  # PEFT's own `_replace_module` wants a weight, which a block has not


def mixing(outer: int, inner: int, *, seen: bool, bias: bool = True) -> "nn.Linear | nn.Conv2d":
    """A matrix from so many numbers to so many, at each token, or at each pixel."""
    return nn.Conv2d(outer, inner, 1, bias=bias) if seen else nn.Linear(outer, inner, bias=bias)


def width_of(target: nn.Module, config: Any) -> tuple[int, bool]:
    """(width of what a module gives, whether these are feature maps)."""
    if (channels := _channels(target)) is not None:
        return channels, True
    base: Any = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
    if hasattr(base, "out_features"):
        return int(base.out_features), False
    weight = getattr(base, "weight", None)  # the config's attribute map knows DistilBERT's `dim` as hidden_size
    return int(config.hidden_size if weight is None else weight.shape[-1]), False


def _channels(target: nn.Module) -> int | None:
    """Channels of the feature maps that a convolution, a batch norm or a branch of them gives; None for others."""
    base: Any = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
    kinds = (nn.Conv2d, nn.BatchNorm2d)
    found: list[Any] = [m for m in base.modules() if isinstance(m, kinds)]
    if not found or isinstance(base, nn.Linear):
        return None
    return int(getattr(found[-1], "out_channels", 0) or found[-1].num_features)


if NAME not in __import__("peft").PEFT_TYPE_TO_CONFIG_MAPPING:
    register_peft_method(name=NAME.lower(), config_cls=BottleneckConfig, model_cls=BottleneckModel)

"""A quantised base: the linear layers of its blocks in 4 or 8 bits, everything else as it was.

    nf4    16 levels at the quantiles of a normal distribution, a scale for 64 weights, the scales in 8 bits themselves
    int8   127 steps to either side of 0, a scale for each output

Dettmers et al. 2023 (QLoRA), https://arxiv.org/abs/2305.14314; Dettmers et al. 2022, https://arxiv.org/abs/2208.07339.
Embeddings, norms, biases, heads and language heads keep full precision. Products are those of the dequantised weights
in the format of the states: for nf4 that is what bitsandbytes does. For int8 it would round the states to 8 bits, too,
by a rule that looks at all rows of a batch, so that an answer would depend on its neighbours; see `int8`.
"""

from typing import TYPE_CHECKING, Any, Literal, cast

from tunesmith.bases.family import Family
from tunesmith.errors import TunesmithError

if TYPE_CHECKING:
    from torch import Tensor, nn

Quant = Literal["nf4", "int8"]


def settings(quant: Quant, family: Family) -> dict[str, Any]:
    """What `from_pretrained` must be given. Raises TunesmithError that names the extra without bitsandbytes."""
    import importlib.util

    if importlib.util.find_spec("bitsandbytes") is None:
        raise TunesmithError(
            f"base.quant: {quant} needs bitsandbytes, which is not installed. Run: pip install 'tunesmith[quant]'"
        )
    import torch
    from transformers import BitsAndBytesConfig

    make: Any = BitsAndBytesConfig
    whole = [path for path in (*family.head, family.language_head, *family.embeddings) if path]
    if quant == "int8":
        asked = make(load_in_8bit=True, llm_int8_threshold=0.0, llm_int8_skip_modules=whole)
    else:
        asked = make(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32, llm_int8_skip_modules=whole,
        )  # fmt: skip
    return {"quantization_config": asked, "device_map": {"": "cpu"}}


def settle(net: "nn.Module") -> None:
    """Make products exact: no rounding of states (int8), no kernel that computes in bf16 on some processors (nf4)."""
    from tunesmith.bases.int8 import exact

    for module in net.modules():
        if is_quantised(module):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]  # bitsandbytes' own switch
            exact(module)


def is_quantised(module: "nn.Module") -> bool:
    """Whether this very layer holds quantised weights. (PEFT's layers show those of the layer inside as their own.)"""
    return type(module._parameters.get("weight")).__name__ in ("Params4bit", "Int8Params")


def weight_of(layer: "nn.Module") -> "Tensor":
    """A linear layer's weight (out, in) as it multiplies, in float32, whatever format it is kept in."""
    if not is_quantised(layer):
        return cast("Tensor", layer.weight).detach().float()
    from transformers.integrations.bitsandbytes import dequantize_bnb_weight

    found = dequantize_bnb_weight(cast("Any", layer.weight), getattr(layer, "state", None))
    return cast("Tensor", found).detach().float()


def numel(parameter: "Tensor") -> int:
    """Weights in a parameter: 4-bit ones lie two in a byte."""
    import math

    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else math.prod(state.shape)


def num_bytes(net: "nn.Module") -> dict[str, int]:
    """{held, quantised, whole}: bytes of all weights as they are held; of those, in quantised layers (scales and code
    tables included); and what the quantised layers would take in float32."""
    held = sum(p.numel() * p.element_size() for p in net.parameters())
    quantised = whole = extra = 0
    for module in net.modules():
        if is_quantised(module):
            weight = cast("Tensor", module.weight)
            scales = sum(t.numel() * t.element_size() for t in _scales(module))
            extra += scales
            quantised += weight.numel() * weight.element_size() + scales
            whole += 4 * numel(weight)
    return {"held": held + extra, "quantised": quantised, "whole": whole}


def _scales(layer: Any) -> "list[Tensor]":
    state = getattr(layer.weight, "quant_state", None)
    if state is None:
        return [layer.state.SCB]
    nested = [state.state2.absmax, state.state2.code] if state.nested else []
    return [state.absmax, state.code, *nested]


def whole(net: "nn.Module") -> "nn.Module":
    """The same network with its weights dequantised to float32, also inside PEFT's layers, which become those that
    PEFT has for such weights. Answers as before, up to rounding. Changes `net`."""
    from torch import nn

    for path, module in list(net.named_modules()):
        if is_quantised(module):
            with_bias = getattr(module, "bias", None) is not None
            plain: Any = nn.Linear(1, 1, bias=with_bias, device="meta")
            plain.weight = nn.Parameter(weight_of(module), requires_grad=False)
            plain.bias = module.bias
            plain.out_features, plain.in_features = plain.weight.shape
            net.set_submodule(path, plain)
    for module in net.modules():
        _as_for_whole_weights(module)
    _forget(net)
    return net


def _as_for_whole_weights(module: "nn.Module") -> None:
    """PEFT has a class of its own for each format of the base, or a field that says which; the tensors are the same."""
    import importlib

    kind = type(module)
    if getattr(module, "quantization_backend", None) is not None:
        module.quantization_backend = None  # type: ignore[assignment]
    if kind.__module__.startswith("peft.") and kind.__module__.endswith(".bnb"):
        layers = importlib.import_module(kind.__module__.replace(".bnb", ".layer"))
        module.__class__ = getattr(layers, kind.__name__.removesuffix("4bit").removesuffix("8bitLt"))
        for name in ("fan_in_fan_out", "is_target_conv_1d_layer", "is_feedforward"):
            if not hasattr(module, name):
                setattr(module, name, False)


def _forget(net: "nn.Module") -> None:
    """Nothing says any more that the network is quantised."""
    from tunesmith.bases.family import plain

    base: Any = plain(net)
    for name in ("is_loaded_in_4bit", "is_loaded_in_8bit", "is_quantized", "hf_quantizer", "quantization_method"):
        base.__dict__.pop(name, None)
    if hasattr(base.config, "quantization_config"):
        del base.config.quantization_config

"""The one door to PEFT: wrap, save, load, merge. What PEFT 0.21 gets wrong or says in vain is handled here.

Heads (pooler included) are trained copies in `modules_to_save`; targets are regular expressions that name blocks, so
that `output.dense` never means `attention.output.dense`; loading is strict, where PEFT only warns; merging works on
composite heads, where PEFT's own `merge_and_unload` crashes for IA3 and VeRA.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.bases import quant
from tunesmith.bases.family import Family, VisionFamily, plain, purpose_of
from tunesmith.bases.load import quiet
from tunesmith.errors import TunesmithError
from tunesmith.methods import _weights

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS = "adapter_model.safetensors"
HEAD_RATE = 1e-3
"""Highest learning rate that a head of two dense layers trains well with, also where vectors need a larger one."""


def wrap(net: "nn.Module", family: Family, config: str, **settings: Any) -> "nn.Module":
    """PEFT around the network, head trainable; or, where PEFT is inside already, one more tuner in the same base."""
    import peft

    import tunesmith.peft as ours

    maker = getattr(ours if hasattr(ours, config) else peft, config)
    with quiet():
        if hasattr(plain(net), "peft_config") or hasattr(net, "get_base_model"):
            made = maker(**settings)
            peft.inject_adapter_in_model(made, plain(net), adapter_name=f"part{len(adapters(net)) + 1}")
            _activate_all(net)
            _tell_strides(net)
            return net
        made = maker(
            task_type=_TASK_TYPES.get(purpose_of(net)),
            modules_to_save=list(family.head_modules) or None,
            base_model_name_or_path=base_name(net),
            **settings,
        )
        wrapped = _tell_strides(_wrapper(net)(net, made))
        for parameter in _loose(wrapped).values():
            parameter.requires_grad_(True)
        return wrapped


def _tell_strides(net: "nn.Module") -> "nn.Module":
    """Let layers around convolutions answer for them: MobileNet's code asks for sizes, to pad as TensorFlow does."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from torch import nn

    for module in net.modules():
        if isinstance(module, BaseTunerLayer) and isinstance(base := module.get_base_layer(), nn.Conv2d):
            for name in ("stride", "kernel_size", "dilation"):
                setattr(module, name, getattr(base, name))
    return net


_TASK_TYPES = {
    "classify": "SEQ_CLS", "tag": "TOKEN_CLS", "embed": "FEATURE_EXTRACTION", "language": "CAUSAL_LM",
    "masked": "FEATURE_EXTRACTION", "seq2seq": "SEQ_2_SEQ_LM", "image_to_text": "CAUSAL_LM",
}  # fmt: skip
"""PEFT has no type for masked language models; that of feature extraction takes any network of tokens and changes
nothing. For images and sounds it wants none."""


def _wrapper(net: "nn.Module") -> Any:
    """PEFT's class around a network of that kind."""
    import peft

    return {
        "classify": peft.PeftModelForSequenceClassification, "language": peft.PeftModelForCausalLM,
        "masked": peft.PeftModelForFeatureExtraction, "seq2seq": peft.PeftModelForSeq2SeqLM, "image": peft.PeftModel,
        "sound": peft.PeftModel, "ctc": peft.PeftModel, "image_text": peft.PeftModel,
        "embed": peft.PeftModelForFeatureExtraction, "tag": peft.PeftModelForTokenClassification,
        "image_to_text": peft.PeftModelForCausalLM, "speech": peft.PeftModel,
    }[purpose_of(net)]  # fmt: skip


def adapters(net: "nn.Module") -> list[str]:
    """Names under which PEFT holds tuners in this network; `default` unless methods were stacked."""
    return list(getattr(plain(net), "peft_config", {}))


def _activate_all(net: "nn.Module") -> None:
    """Adding a tuner to a base makes PEFT switch off the tuners and the trained head that were there before."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import ModulesToSaveWrapper

    for module in plain(net).modules():
        if isinstance(module, ModulesToSaveWrapper):
            module.set_adapter("default")
        elif isinstance(module, BaseTunerLayer):
            own = {name for attribute in module.adapter_layer_names for name in getattr(module, attribute, {})}
            module.set_adapter(sorted(own))


def base_name(net: "nn.Module") -> str | None:
    """What a saved adapter calls its base: a public name where the loader gave one, else the folder or hub id."""
    base = plain(net)
    return getattr(base.config, "tunesmith_base", None) or getattr(base, "name_or_path", None) or None


def settings_of(net: "nn.Module") -> Any:
    """PEFT's configuration of the network."""
    return net.peft_config["default"]  # type: ignore[index]


def tensors_of(net: "nn.Module") -> "dict[str, Tensor]":
    """What PEFT would write for this network, by PEFT's keys."""
    import peft

    with quiet():
        found = dict(peft.get_peft_model_state_dict(net, save_embedding_layers=False))
    return found | {f"base_model.model.{name}": p for name, p in _loose(net).items()}


def _loose(net: "nn.Module") -> "dict[str, nn.Parameter]":
    """Single parameters of the head. PEFT saves modules alone, but what stands in its file it loads under any name."""
    loose = getattr(_weights.family_in(net), "loose", ())
    return {name: plain(net).get_parameter(name) for name in loose}


def save(
    net: "nn.Module",
    folder: Path,
    tensors: "Mapping[str, Tensor] | None" = None,
    changes: Mapping[str, Any] | None = None,
) -> None:
    """adapter_model.safetensors and adapter_config.json; `tensors` and `changes` replace what the network says."""
    from safetensors.torch import save_file

    tensors = tensors_of(net) if tensors is None else tensors
    config = copy.deepcopy(settings_of(net))
    config.inference_mode = True
    config.base_model_name_or_path = base_name(net)
    if config.modules_to_save:
        config.modules_to_save = list(dict.fromkeys(config.modules_to_save))
    for key, value in (changes or {}).items():
        setattr(config, key, value)
    folder.mkdir(parents=True, exist_ok=True)
    whole = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    save_file(whole, str(folder / WEIGHTS), metadata={"format": "pt"})
    config.save_pretrained(str(folder))


def load(net: "nn.Module", folder: Path, kind: str) -> "nn.Module":
    """A fresh base with the saved adapter and head on it, to answer. Raises TunesmithError unless all keys match."""
    import peft
    from safetensors.torch import load_file

    for name in ("adapter_config.json", WEIGHTS):
        if not (folder / name).is_file():
            raise TunesmithError(f"{folder} holds no saved adapter: {name} is missing")
    with quiet():
        config = peft.PeftConfig.from_pretrained(str(folder))
        if str(getattr(config.peft_type, "value", config.peft_type)) != kind:
            raise TunesmithError(f"{folder} holds a {config.peft_type} adapter, and this plan's method saves {kind}")
        config.inference_mode = True
        wrapped = _wrapper(net)(net, config)
        tensors = load_file(str(folder / WEIGHTS))
        compare(folder / WEIGHTS, tensors_of(wrapped), tensors)
        peft.set_peft_model_state_dict(wrapped, tensors)
    return _tell_strides(wrapped).eval().requires_grad_(False)


def join(net: "nn.Module", folder: Path, name: str) -> None:
    """A second saved adapter on the base of a loaded network, under a name of its own and inactive. Raises
    TunesmithError unless all keys match."""
    import peft
    from safetensors.torch import load_file

    wrapped: Any = net
    with quiet():
        config = peft.PeftConfig.from_pretrained(str(folder))
        config.inference_mode = True
        wrapped.add_adapter(name, config)
        own = peft.get_peft_model_state_dict(wrapped, adapter_name=name, save_embedding_layers=False)
        tensors = load_file(str(folder / WEIGHTS))
        compare(folder / WEIGHTS, dict(own), tensors)
        peft.set_peft_model_state_dict(wrapped, tensors, adapter_name=name)
    wrapped.eval().requires_grad_(False)


def use(net: "nn.Module", name: str) -> None:
    """Make that adapter the only active one, to answer."""
    wrapped: Any = net
    wrapped.set_adapter(name)
    wrapped.eval().requires_grad_(False)


def compare(path: Path, own: "Mapping[str, Tensor]", tensors: "Mapping[str, Tensor]") -> None:
    """Raise TunesmithError unless a file holds exactly the tensors that the network has."""
    missing, odd = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing or odd:
        found = (("missing", missing), ("unexpected", odd))
        parts = [f"{len(names)} {kind}, such as {names[0]}" for kind, names in found if names]
        raise TunesmithError(f"{path}: the tensors do not fit this base and method: {'; '.join(parts)}")
    for name, tensor in tensors.items():
        if own[name].shape != tensor.shape:
            raise TunesmithError(
                f"{path}: {name} has shape {tuple(tensor.shape)}, this base and method have {tuple(own[name].shape)}"
            )


@contextmanager
def switched_off(net: "nn.Module") -> Iterator[None]:
    """Within the block, every tuner layer answers as the layer it was put around. What learns is not touched, which
    PEFT's own `disable_adapter` would change."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers: list[Any] = [m for m in plain(net).modules() if isinstance(m, BaseTunerLayer)]
    before = [layer._disable_adapters for layer in layers]
    for layer in layers:
        layer._disable_adapters = True
    try:
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer._disable_adapters = was


def folded(net: "nn.Module") -> "nn.Module":
    """The plain transformers model with every tuner merged in float32 and the trained head put back. Uses up `net`.
    A quantised base is dequantised first, so that nothing is rounded to its levels again."""
    base = plain(net)
    if getattr(base, "is_quantized", False):
        quant.whole(net)
    _unwrap(base)
    base.__dict__.pop("peft_config", None)
    return base.eval().requires_grad_(False)


def _unwrap(module: "nn.Module") -> None:
    for name, child in list(module.named_children()):  # a list: children are replaced while we walk
        bare = _merged(child)
        if bare is not child:
            setattr(module, name, bare)
        _unwrap(bare)


def _merged(module: "nn.Module") -> "nn.Module":
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import ModulesToSaveWrapper

    if isinstance(module, ModulesToSaveWrapper):
        return module.modules_to_save[module.active_adapters[0]]
    if not isinstance(module, BaseTunerLayer):
        return module
    _merged(module.base_layer)  # type: ignore[arg-type]
    base = module.get_base_layer()
    kept = {name: parameter.dtype for name, parameter in base.named_parameters()}
    try:
        with quiet(), torch.no_grad():
            base.float()
            module.merge(safe_merge=True)
    except ValueError as error:
        raise TunesmithError(f"cannot merge: {error}") from error
    for name, parameter in base.named_parameters():
        parameter.data = parameter.data.to(kept[name])
    return base


def check_layers(net: "nn.Module", family: Family, names: Sequence[str]) -> list[str]:
    """Full paths inside a block of linear layers given by their last names. Raises TunesmithError for one unknown."""
    from torch import nn

    if isinstance(family, VisionFamily):
        return _check_seen(net, family, names)
    blocks = family.block_list(net)
    stacks = dict.fromkeys(p for b in (blocks[0], blocks[-1]) for p, m in b.named_modules() if isinstance(m, nn.Linear))
    paths = list(stacks)  # the top block of an encoder-decoder has others than the lowest
    paths = [path.removesuffix(".base_layer") for path in paths if ".lora_" not in path and ".bottleneck_" not in path]
    chosen: list[str] = []
    for name in names:
        hits = [path for path in paths if path == name or path.endswith(f".{name}")]
        if not hits:
            raise TunesmithError(
                f"method.targets: no layer of a {family.name} block is named '{name}'. Known: {', '.join(paths)}"
            )
        chosen += [path for path in hits if path not in chosen]
    return chosen


def _check_seen(net: "nn.Module", family: VisionFamily, names: Sequence[str]) -> list[str]:
    """The names themselves, which may stand anywhere in a block, if layers of every block's kind have them."""
    from torch import nn

    kinds = (nn.Linear, nn.Conv2d)
    known = {p for b in family.block_list(net) for p, m in b.named_modules() if isinstance(m, kinds)}
    for name in names:
        if not any(f".{path}".endswith(f".{name}") for path in known):
            ends = sorted({path.split(".")[-1] for path in known})
            raise TunesmithError(
                f"method.targets: no layer of a {family.name} block is named '{name}'. Known: {', '.join(ends)}"
            )
    return list(names)


def top_blocks(net: "nn.Module", family: Family, top: int | None, field: str = "method.top") -> range:
    """Numbers of the top blocks, all of them for None. Raises TunesmithError when there are fewer."""
    total = len(family.block_list(net))
    if top is not None and top > total:
        raise TunesmithError(f"{field}: {top} blocks asked for, but this {family.name} has {total}")
    return range(total - (total if top is None else top), total)


def head_factor(net: "nn.Module", rate: float) -> dict[str, float]:
    """Rate factors that keep the head at HEAD_RATE under a method whose own tensors want a larger rate."""
    family = _weights.family_in(net)
    if rate <= HEAD_RATE:
        return {}
    return {n: HEAD_RATE / rate for n, p in net.named_parameters() if p.requires_grad and family.is_head(n)}

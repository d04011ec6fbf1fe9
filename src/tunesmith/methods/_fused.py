"""What a fusion takes from finished runs: the adapter that each saved, place by place, and whether they fit."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.bases.family import plain
from tunesmith.errors import TunesmithError
from tunesmith.files import digest_file, read_json
from tunesmith.methods import _peft

if TYPE_CHECKING:
    from torch import Tensor, nn

_MODES = {"output": ("after", "y"), "beside": ("after", "x"), "residual": ("residual", "y"), "norm": ("norm", "y")}
"""A bottleneck's mode: the fusion's mode, and what of the wrapped module it reads."""
_PLACES = re.compile(r"^(?:base_model\.model\.)?(.+)\.(bottleneck_down|bottleneck_up|lora_A|lora_B)\.(weight|bias)$")
_NAMES = {"bottleneck_down": "down", "bottleneck_up": "up", "lora_A": "down", "lora_B": "up"}


@dataclass(frozen=True)
class Saved:
    """The adapter of a run."""

    run: str
    mode: str
    told: dict[str, Any]
    """What `tunesmith.peft.FusedPart` is made from."""
    places: "Mapping[str, Mapping[str, Tensor]]"
    """{path of a module: {down.weight, down.bias, up.weight, up.bias}}, or as many of these as it has."""


def read(run: str) -> Saved:
    """The adapter that a finished run saved. Raises TunesmithError where it saved none, or one of another kind."""
    from safetensors.torch import load_file

    folder = Path(run).expanduser() / "model"
    if not (folder / "adapter_config.json").is_file() or not (folder / _peft.WEIGHTS).is_file():
        raise TunesmithError(f"method.of: {run} saved no adapter. Name finished runs of adapter or lora")
    config = read_json(folder / "adapter_config.json")
    mode, told = _described(run, config)
    places: dict[str, dict[str, Tensor]] = {}
    for key, tensor in load_file(str(folder / _peft.WEIGHTS)).items():
        if found := _PLACES.match(key):
            places.setdefault(found[1], {})[f"{_NAMES[found[2]]}.{found[3]}"] = tensor
    about = {"name": Path(run).name, "sha256": digest_file(folder / _peft.WEIGHTS)}
    return Saved(run, mode, about | told, places)


def _described(run: str, config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """(the fusion's mode, what a part is made from) of PEFT's configuration."""
    if config["peft_type"] == "BOTTLENECK":
        mode, reads = _MODES[config["mode"]]
        size = config["bottleneck_size"] if config["reduction"] is None else None
        told = {"size": size, "reduction": config["reduction"], "activation": config["activation"]}
        return mode, {"kind": "adapter", **told, "scale": config["scale"], "reads": reads}
    if config["peft_type"] != "LORA":
        raise TunesmithError(f"method.of: {run} holds a {config['peft_type']} adapter, and parts are adapter or lora")
    if config.get("use_dora") or config.get("rank_pattern") or config.get("alpha_pattern"):
        kind = "dora rescales the base's weights" if config.get("use_dora") else "its ranks differ from layer to layer"
        raise TunesmithError(f"method.of: {run}: {kind}, which is no sum of outputs. Use lora or rslora")
    scale = config["lora_alpha"] / (config["r"] ** 0.5 if config.get("use_rslora") else config["r"])
    told = {"kind": "lora", "size": config["r"], "reduction": None, "activation": None, "scale": scale, "reads": "x"}
    return "after", told


def placed(net: "nn.Module", parts: Sequence[Saved]) -> "dict[str, list[Mapping[str, Tensor]]]":
    """{path of a module in the network: the tensors of each part there}. Paths may begin otherwise in a run of another
    task (`encoder.layer.0` for `bert.encoder.layer.0`). Raises TunesmithError where parts stand in other places."""
    names = [name for name, _ in plain(net).named_modules() if name]
    found = [{_meant(place, names, part.run): t for place, t in part.places.items()} for part in parts]
    first = parts[0]
    for part, own in zip(parts[1:], found[1:], strict=True):
        if part.mode != first.mode or own.keys() != found[0].keys():
            odd = sorted(own.keys() ^ found[0].keys())
            why = f"{odd[0]} has one of them alone" if odd else f"{first.mode} and {part.mode} are added elsewhere"
            raise TunesmithError(
                f"method.of: {first.run} and {part.run} stand in other places of the network: {why}. Fuse runs of one "
                "method with the same place (adapter), targets (lora), top and layers"
            )
    return {name: [own[name] for own in found] for name in found[0]}


def _meant(place: str, names: Iterable[str], run: str) -> str:
    hits = [n for n in names if n == place or n.endswith(f".{place}") or place.endswith(f".{n}")]
    if not hits:
        raise TunesmithError(f"method.of: {run} has an adapter at {place}, and this network has no such module")
    return max(hits, key=lambda n: (n == place, len(n) if place.endswith(n) else -len(n)))


def fill(net: "nn.Module", tensors: "Mapping[str, Sequence[Mapping[str, Tensor]]]") -> None:
    """Put the weights of the parts into the fusion's layers, strictly."""
    import torch

    for path, parts in tensors.items():
        layer: Any = plain(net).get_submodule(path)
        for part, found in zip(layer.fusion_parts["default"], parts, strict=True):
            own = dict(part.named_parameters())
            _peft.compare(Path(path), own, found)
            with torch.no_grad():
                for name, parameter in own.items():
                    parameter.copy_(found[name])

"""A base that has a head already: which of its outputs the new head goes on with.

A tuned classifier can be a base. Its output rows are carried over by the name of their label, never by their number: a
label that it does not know gets a fresh row, and one that is no longer asked for is left behind.

    old: leak heat noise          new: leak heat noise crack          rows: old leak, old heat, old noise, fresh

Names that transformers makes up (LABEL_0 …) name nothing, and nothing is carried over by them.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from tunesmith.bases.family import Family
from tunesmith.bases.find import Found

if TYPE_CHECKING:
    from torch import Tensor, nn

_MADE_UP = re.compile(r"^LABEL_\d+$")


def carry_over(net: "nn.Module", found: Found, family: Family) -> frozenset[int]:
    """Set the output rows of a network that was just loaded, with the labels it shall have in its configuration;
    returns which of them the base knew. The first layers of its head are as they were loaded."""
    import torch

    layer = output_layer(net, family)
    stored = _stored(found, layer[0]) if layer else None
    if not layer or not stored:
        return frozenset()
    module, settings = layer[1], cast("Any", net.config)
    before = {name: number for number, name in _labels(found.config).items() if not _MADE_UP.match(name)}
    after: dict[int, str] = {int(k): str(v) for k, v in settings.id2label.items()}
    known = {new: before[name] for new, name in after.items() if name in before}
    with torch.no_grad():
        module.weight.normal_(std=float(getattr(settings, "initializer_range", 0.02)))
        if module.bias is not None:
            module.bias.zero_()
        for new, old in known.items():
            for name, values in stored.items():
                getattr(module, name)[new] = values[old]
    return frozenset(known)


def start_at(net: "nn.Module", family: Family, start: Sequence[float], known: frozenset[int]) -> None:
    """Set the biases of the outputs that are not `known`; `start` is (C,), or empty. A head without biases, as those of
    decoders, starts where it was drawn."""
    import torch

    layer = output_layer(net, family) if start else None
    if layer is None or layer[1].bias is None:
        return
    with torch.no_grad():
        for output in set(range(len(start))) - known:
            layer[1].bias[output] = start[output]


def output_layer(net: "nn.Module", family: Family) -> "tuple[str, nn.Linear] | None":
    """(path, module) of the layer that gives the outputs; None where the architecture has another head."""
    from torch import nn

    labels = int(getattr(net.config, "num_labels", 0))
    found = [
        (path, module) for path, module in net.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == labels and family.is_head(f"{path}.weight")
    ]  # fmt: skip
    return found[-1] if found else None


def _stored(found: Found, path: str) -> "dict[str, Tensor] | None":
    """Weight and bias of that layer in the files of the base."""
    from safetensors import safe_open

    out: dict[str, Tensor] = {}
    for file in sorted(found.folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in ("weight", "bias"):
                if f"{path}.{name}" in tensors.keys():  # noqa: SIM118 - not a mapping
                    out[name] = tensors.get_tensor(f"{path}.{name}")
    return out or None


def _labels(config: dict[str, Any]) -> dict[int, str]:
    return {int(k): str(v) for k, v in (config.get("id2label") or {}).items()}

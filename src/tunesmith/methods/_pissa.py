"""PiSSA: start LoRA on the principal singular vectors of the weight, and train the residual's complement.

    W = W_res + s B0 A0        train A, B from A0, B0;        delta W = s (B A - B0 A0)

Meng et al. 2024, https://arxiv.org/abs/2404.02948. The base is changed in memory, so a saved (A, B) alone would need
that same change; we save the delta as plain LoRA of rank 2r on the unmodified base: A' = [A; A0], B' = [B, -B0].
PEFT's own conversion fails for classifiers (FINDINGS B, A2.11).
"""

from pathlib import Path
from typing import TYPE_CHECKING, cast

from tunesmith.bases.family import plain
from tunesmith.methods import _peft, _weights

if TYPE_CHECKING:
    from torch import Tensor, nn


def remember(net: "nn.Module") -> None:
    """Note A0 and B0 on the network."""
    pairs = {path: (a.detach().clone(), b.detach().clone()) for path, (a, b) in _pairs(net).items()}
    _weights.memory(net)["pissa"] = pairs


def start(net: "nn.Module", path: str) -> "tuple[Tensor, Tensor] | None":
    """A0 and B0 of a layer while the base is changed; None for any other network."""
    found: tuple[Tensor, Tensor] | None = _weights.memory(net).get("pissa", {}).get(path)
    return found


def save(net: "nn.Module", folder: Path) -> None:
    """The plain LoRA of rank 2r."""
    import torch

    tensors = dict(_peft.tensors_of(net))
    for path, (a0, b0) in _weights.memory(net)["pissa"].items():
        key_a, key_b = (f"base_model.model.{path}.lora_{side}.weight" for side in "AB")
        tensors[key_a] = torch.cat([tensors[key_a], a0.to(tensors[key_a].device)], dim=0)
        tensors[key_b] = torch.cat([tensors[key_b], -b0.to(tensors[key_b].device)], dim=1)
    config = _peft.settings_of(net)
    grown = 2**0.5 if config.use_rslora else 2  # keeps alpha / r, or alpha / sqrt r
    changes = {"r": 2 * config.r, "lora_alpha": grown * config.lora_alpha, "init_lora_weights": True}
    _peft.save(net, folder, tensors, changes)


def _pairs(net: "nn.Module") -> "dict[str, tuple[Tensor, Tensor]]":
    from peft.tuners.lora import LoraLayer

    return {
        path: (cast("Tensor", m.lora_A["default"].weight), cast("Tensor", m.lora_B["default"].weight))
        for path, m in plain(net).named_modules()
        if isinstance(m, LoraLayer)
    }

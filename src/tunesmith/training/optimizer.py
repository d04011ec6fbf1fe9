"""Optimizers by kept libraries, parameter groups by what a parameter is, and their state as plain tensors."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from tunesmith.engine.network import BESIDE
from tunesmith.errors import TunesmithError

if TYPE_CHECKING:
    from tunesmith.model import Model
    from tunesmith.settings import Galore


BESIDE_RATE = 1e-3
"""Peak rate of what training alone needs: new layers, like heads."""
PROJECTOR, GROUP_STEP = "projector", "group_step"


def no_decay(net: nn.Module) -> set[str]:
    """Names of parameters that weight decay must leave alone: biases and whatever belongs to a norm, by module type.

    Vectors of scale (IA3, DoRA's magnitudes, VeRA's) count, too: decay would pull them to 0 and their identity is 1.
    """
    found = set()
    for path, module in net.named_modules():
        norm = isinstance(module, (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)) or (
            type(module).__name__.endswith(("RMSNorm", "LayerNorm"))
        )
        for name, parameter in module.named_parameters(recurse=False):
            full = f"{path}.{name}" if path else name
            if norm or name == "bias" or parameter.squeeze().ndim < 2:
                found.add(full)
    return found


def groups(model: "Model", moving: Mapping[str, nn.Parameter]) -> list[dict[str, Any]]:
    """AdamW-style groups: each with its names, weight decay and peak rate (`peak`). Raises TunesmithError where the
    plan asks for GaLore and nothing is there to project, or for a rate of the head and none learns."""
    train, method = model.plan.train, model.plan.method
    if train.head_lr is not None and not any(map(model.is_head, moving)):
        raise TunesmithError(f"train.head_lr has no effect: a {model.family.name} is trained without a head of its own "
                             f"for {model.plan.task.name}. Set train.lr, or remove it")  # fmt: skip
    rates = {f"{h.path}{n}": h.rate * f for h in model.halves for n, f in h.method.groups(h.auto).items()}
    spared = no_decay(model.net)
    made: dict[tuple[float, float, bool], dict[str, Any]] = {}
    for name, parameter in moving.items():
        rate = rates.get(name, model.halves[name.startswith("tower.")].rate)
        if train.head_lr is not None and model.is_head(name):
            rate = train.head_lr
        if name.startswith(BESIDE):
            rate = BESIDE_RATE
        decay = 0.0 if name in spared else train.weight_decay
        low = train.optimizer == "galore" and _projected(model, name, parameter)
        fresh = {"params": [], "names": [], "weight_decay": decay, "peak": rate}
        group = made.setdefault((rate, decay, low), fresh | (_galore(train.galore) if low else {}))
        group["params"].append(parameter)
        group["names"].append(name)
    if train.optimizer == "galore" and not any(low for _, _, low in made):
        raise TunesmithError(
            f"train.optimizer: galore finds no matrix to project: {method.name} moves none in the blocks that is "
            f"larger than train.galore.rank ({train.galore.rank}). Use adamw, or a smaller rank"
        )
    for group in made.values():
        group["lr"] = group["peak"]
    return list(made.values())


def _projected(model: "Model", name: str, parameter: nn.Parameter) -> bool:
    """Whether GaLore projects a gradient: matrices of the blocks that have more directions than the rank."""
    inside = model.family.block_of(name.removeprefix("auto.")) is not None
    return inside and parameter.ndim == 2 and min(parameter.shape) > model.plan.train.galore.rank


def _galore(asked: "Galore") -> dict[str, Any]:
    """GaLore's settings as pytorch_optimizer calls them."""
    return {"rank": asked.rank, "update_proj_gap": asked.every, "scale": asked.scale, "projection_type": "std"}


def make(name: str, param_groups: list[dict[str, Any]], momentum: float) -> torch.optim.Optimizer:
    """The optimizer of that name. Raises TunesmithError that names the extra when its library is not installed."""
    match name:
        case "adamw":
            return torch.optim.AdamW(param_groups, fused=True)  # 6 times faster than the default on CPU
        case "sgd":
            return torch.optim.SGD(param_groups, momentum=momentum)
        case "adafactor":
            return torch.optim.Adafactor(param_groups)
        case "lion":
            made = _imported("pytorch_optimizer", "Lion", "optim")(param_groups)
        case "galore":  # Zhao et al. 2024, https://arxiv.org/abs/2403.03507
            made = _imported("pytorch_optimizer", "GaLore", "optim")(param_groups, eps=1e-8, foreach=False)
        case "adamw8bit":
            made = _imported("bitsandbytes.optim", "AdamW8bit", "quant")(param_groups)
        case _:
            raise AssertionError(name)
    return cast("torch.optim.Optimizer", made)


def _imported(module: str, name: str, extra: str) -> Any:
    import importlib

    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise TunesmithError(
            f"train.optimizer: {name} needs a library that is not installed. Run: pip install 'tunesmith[{extra}]'"
        ) from error


def state_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's state as {parameter name + '|' + entry: tensor}, for safetensors."""
    out = {}
    for group in optimizer.param_groups:
        if group.get("step") and group["names"]:  # GaLore counts for a group
            out[f"{group['names'][0]}|{GROUP_STEP}"] = torch.tensor(group["step"], dtype=torch.float64)
        for name, parameter in zip(group["names"], group["params"], strict=True):
            for entry, value in optimizer.state.get(parameter, {}).items():
                if value is None:
                    continue
                if entry == PROJECTOR:
                    out[f"{name}|{entry}"] = value.ortho_matrix.detach().clone()
                    continue
                out[f"{name}|{entry}"] = (
                    value.detach().clone() if torch.is_tensor(value) else torch.tensor(value, dtype=torch.float64)
                )
    return out


def load_state(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put back what `state_tensors` gave, bit for bit."""
    by_name = {n: p for g in optimizer.param_groups for n, p in zip(g["names"], g["params"], strict=True)}
    optimizer.state.clear()
    for key, value in tensors.items():
        name, _, entry = key.rpartition("|")
        parameter = by_name[name]
        if entry == GROUP_STEP:
            _group_of(optimizer, name)["step"] = int(value)
            continue
        if entry == PROJECTOR:
            optimizer.state[parameter][entry] = _projector(_group_of(optimizer, name), value)
            continue
        scalar = value.dtype == torch.float64 and value.ndim == 0
        optimizer.state[parameter][entry] = value.item() if scalar else value.clone()


def _group_of(optimizer: torch.optim.Optimizer, name: str) -> dict[str, Any]:
    return next(group for group in optimizer.param_groups if name in group["names"])


def _projector(group: Mapping[str, Any], matrix: torch.Tensor) -> Any:
    """GaLore's memory of its directions."""
    kind = _imported("pytorch_optimizer.optimizer.utils.galore", "GaLoreProjector", "optim")
    made = kind(**{k: group[k] for k in ("rank", "update_proj_gap", "scale", "projection_type")})
    made.ortho_matrix = matrix.clone()
    return made

"""AdaLoRA's budget: ranks start above the target and are taken where they matter least.

    W x  ->  W x + (alpha / r0) B diag(e) A x        entries of e are zeroed, fewest where sensitivity is high

Zhang et al. 2023, https://arxiv.org/abs/2303.10512. PEFT holds the allocator; the steps of the run are known only
while it runs, so its schedule is set at each call. Its averages live outside the weights: `state` and `restore`.
"""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, NonNegativeFloat, PositiveInt

from tunesmith.bases.load import quiet
from tunesmith.described import Described
from tunesmith.methods import _peft

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

Share = Annotated[float, Field(ge=0, lt=0.5)]
_TABLES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


class Budget(Described):
    """How AdaLoRA's ranks shrink over the run."""

    initial: Annotated[float, Field(gt=1)] = 1.5
    """Rank at the start, as a multiple of `r`, which is the mean rank at the end."""
    warmup: Share = 0.1
    """Share of the steps before the first rank is taken."""
    final: Share = 0.3
    """Share of the steps after the last rank was taken, in which the rest is tuned."""
    every: PositiveInt = 10
    """Steps between two allocations."""
    orthogonality: NonNegativeFloat = 0.5
    """Weight of the penalty that keeps the rows of A and the columns of B orthonormal."""


def settings(r: int, budget: Budget) -> dict[str, Any]:
    """Arguments for PEFT's AdaLoraConfig; its own penalty is off, so that reported losses are clean."""
    initial = max(r + 1, round(r * budget.initial))
    return {"target_r": r, "init_r": initial, "orth_reg_weight": 0.0, "total_step": 2**31, "tinit": 0, "tfinal": 0}


def after_step(net: "nn.Module", budget: Budget, step: int, total: int) -> None:
    """Measure and allocate. A run too short for two steps between warm-up and final phase keeps all ranks."""
    tuner = _tuner(net)
    config = tuner.peft_config["default"]
    warmup, final = int(budget.warmup * total), max(1, int(budget.final * total))
    if total - final - warmup < 2:
        return
    config.total_step, config.tinit, config.tfinal, config.deltaT = total, warmup, final, budget.every
    tuner.update_and_allocate(step)


def penalty(net: "nn.Module", weight: float) -> "Tensor":
    """weight * mean over all A and B of || P P' - I ||, P the rows of A or the columns of B."""
    import torch

    gaps = []
    for name, p in net.named_parameters():
        if ".lora_A." in name or ".lora_B." in name:
            square = p @ p.T if ".lora_A." in name else p.T @ p
            gaps.append(torch.linalg.norm(square - torch.eye(len(square), device=p.device, dtype=p.dtype)))
    return weight * torch.stack(gaps).mean()


def state(net: "nn.Module") -> "dict[str, Tensor]":
    """The allocator's averages and the ranks that are kept, as tensors."""
    import torch

    allocator = _tuner(net).rankallocator
    found = {f"{t}/{name}": value for t in _TABLES for name, value in getattr(allocator, t).items()}
    pattern = _peft.settings_of(net).rank_pattern or {}
    return found | {f"rank_pattern/{name}": torch.tensor(kept, dtype=torch.bool) for name, kept in pattern.items()}


def restore(net: "nn.Module", tensors: "Mapping[str, Tensor]") -> None:
    """Put back what `state` gave."""
    parameters = dict(_tuner(net).model.named_parameters())
    allocator = _tuner(net).rankallocator
    allocator.reset_ipt()
    pattern = {}
    for key, tensor in tensors.items():
        table, name = key.split("/", 1)
        if table == "rank_pattern":
            pattern[name] = tensor.tolist()
        else:
            getattr(allocator, table)[name] = tensor.clone().to(parameters[name].device)
    _peft.settings_of(net).rank_pattern = pattern or None


def load(net: "nn.Module", folder: Path) -> "nn.Module":
    """PEFT's file opened. PEFT forgets the adapter's name then, and crashes as soon as it is given labels."""
    net = _peft.load(net, folder, "ADALORA")
    _tuner(net).trainable_adapter_name = "default"
    return net


def save(net: "nn.Module", folder: Path) -> None:
    """PEFT's file, with ranks cut only where their values are zero now: between two allocations the others live."""
    config = _peft.settings_of(net)
    pattern = config.rank_pattern
    values = {n: p for n, p in _tuner(net).model.named_parameters() if ".lora_E." in n}
    dead = pattern is not None and all(
        not bool(values[name].detach().flatten()[[not k for k in kept]].any()) for name, kept in pattern.items()
    )
    try:
        config.rank_pattern = copy.deepcopy(pattern) if dead else None
        with quiet():
            tensors = _peft.tensors_of(net)
            _peft.save(net, folder, tensors, {"rank_pattern": config.rank_pattern})
    finally:
        config.rank_pattern = pattern


def _tuner(net: "nn.Module") -> Any:
    return net.base_model

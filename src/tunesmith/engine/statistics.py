"""Batch-norm statistics: at rest while training, unless the plan says otherwise, and never changed in silence.

A batch norm in training mode divides by the spread of the batch and moves its running statistics towards it. Small
batches are noisy, and some libraries' momentum counts the other way round: transformers' MobileNets move 0.997 of the
way, so that one batch replaces what a million images taught. At rest they are a fixed scale and shift a channel, whose
weights still learn.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tunesmith.errors import TunesmithError

if TYPE_CHECKING:
    from tunesmith.engine.network import Network

FAST = 0.5
"""Momentum from which on a single batch outweighs all before it."""


def batch_norms(net: nn.Module) -> "Iterator[tuple[str, _BatchNorm]]":
    """Every batch norm by name, without the untrained copies that PEFT keeps."""
    for name, module in net.named_modules():
        if isinstance(module, _BatchNorm) and ".original_module" not in name:
            yield name, module


def rest(net: "Network") -> None:
    """Put batch norms into evaluation mode, all but those whose statistics are to move and whose weights learn."""
    for _, norm in batch_norms(net):
        if not (net.statistics_move and any(p.requires_grad for p in norm.parameters(recurse=False))):
            norm.eval()


def statistics(net: "Network") -> dict[str, torch.Tensor]:
    """What moves beside the weights, by name; nothing where statistics are at rest."""
    if not net.statistics_move:
        return {}
    return {f"{name}.{key}": tensor for name, norm in batch_norms(net) for key, tensor in norm.named_buffers()}


def note(net: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of every running statistic, to compare with after training."""
    return {f"{n}.{key}": t.detach().clone() for n, norm in batch_norms(net) for key, t in norm.named_buffers()}


def refuse_changed(net: "Network", before: Mapping[str, torch.Tensor]) -> None:
    """Stop where a statistic moved that no file of the model would hold."""
    if net.statistics_move:
        return
    odd = [name for name, tensor in note(net).items() if not torch.equal(tensor, before[name])]
    if odd:
        raise TunesmithError(
            f"{len(odd)} running statistics changed in training, such as {odd[0]}, and the plan keeps them at rest "
            "(train.batch_norm: fixed). This is a bug of the base's code or of ours; please report it"
        )


def warning(net: "Network") -> str | None:
    """What to say where moving statistics follow the last batch alone."""
    fast = {n: m.momentum for n, m in batch_norms(net) if (m.momentum or 0) > FAST}
    if not (net.statistics_move and fast):
        return None
    name, momentum = next(iter(fast.items()))
    return (
        f"train.batch_norm: moving, and {len(fast)} batch norms of this base take {momentum:g} of each batch (such as "
        f"{name}): one batch replaces the statistics it was pretrained with. Write train.batch_norm: fixed"
    )

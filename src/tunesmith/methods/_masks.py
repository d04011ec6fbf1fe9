"""Masks: single weights of a tensor move, all others stay bit-equal to the base.

A masked gradient is not enough: weight decay moves weights without gradient. So gradients are masked before the step
(momentum then never builds up outside the mask) and the base's values are put back after it.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tunesmith.bases.family import Family
from tunesmith.errors import TunesmithError
from tunesmith.methods import _weights

if TYPE_CHECKING:
    from torch import Tensor, nn


def keep(net: "nn.Module", masks: "Mapping[str, Tensor]") -> None:
    """Remember masks (bool, by bare parameter name; True moves) on the network."""
    _weights.memory(net)["masks"] = dict(masks)
    _weights.memory(net).pop("base", None)


def kept(net: "nn.Module") -> "dict[str, Tensor]":
    """The masks of the network; empty without any."""
    found: dict[str, Tensor] = _weights.memory(net).get("masks", {})
    return found


def before_step(net: "nn.Module", family: Family) -> None:
    """Gradients outside the masks become 0; at the first call the base's values are noted."""
    masks, parameters = kept(net), _weights.named(net, family)
    notes = _weights.memory(net).setdefault("base", {})
    for name, mask in masks.items():
        parameter = parameters[name]
        if name not in notes:  # still the base's outside the mask, also on resume
            notes[name] = parameter.detach().clone()
        if parameter.grad is not None:
            parameter.grad.masked_fill_(~mask.to(parameter.device), 0.0)


def after_step(net: "nn.Module", family: Family) -> None:
    """Weights outside the masks get the base's values back, bit for bit."""
    import torch

    masks, parameters = kept(net), _weights.named(net, family)
    with torch.no_grad():
        for name, base in _weights.memory(net).get("base", {}).items():
            parameters[name].copy_(torch.where(masks[name].to(base.device), parameters[name], base))


def largest(tensors: "Mapping[str, Tensor]", share: float) -> "dict[str, Tensor]":
    """In each tensor, the share of weights that are largest in absolute value."""
    return {name: _top(t.detach().abs().flatten(), share).view_as(t) for name, t in tensors.items()}


def fisher(
    net: "nn.Module", tensors: "Mapping[str, nn.Parameter]", losses: "Iterable[Tensor]", share: float
) -> "dict[str, Tensor]":
    """Over all tensors together, the share of weights with the largest mean squared gradient of a row's loss."""
    import torch

    sums = {name: torch.zeros_like(t) for name, t in tensors.items()}
    rows = 0
    for loss in losses:
        net.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        rows += 1
        for name, t in tensors.items():
            if t.grad is not None:
                sums[name] += t.grad.detach() ** 2
    net.zero_grad()
    if not rows:
        raise TunesmithError("method.sparse: by fisher needs rows to look at before the first step, and got none")
    best = _top(torch.cat([s.flatten() for s in sums.values()]), share)
    parts = torch.split(best, [s.numel() for s in sums.values()])
    return {name: part.view_as(sums[name]) for name, part in zip(sums, parts, strict=True)}


def heads(net: "nn.Module", family: Family, chosen: Mapping[int, Iterable[int]]) -> "dict[str, Tensor]":
    """Masks for single attention heads: their rows of query, key and value, their columns of the output projection.

    Grouped-query models share a key and value head among several query heads: it moves when one of them is chosen.
    """
    import torch

    parameters, masks = _weights.named(net, family), {}
    total = int(_weights.config(net).num_attention_heads)
    for block, numbers in chosen.items():
        _check_heads(net, family, block, numbers, total)
        for layer in (family.query, family.key, family.value, family.attention_out):
            path = f"{family.block_path(block)}.{layer}"
            weight = parameters[f"{path}.weight"]
            mask = torch.zeros_like(weight, dtype=torch.bool)
            outward = layer == family.attention_out
            rows = mask.T if outward else mask
            width = parameters[f"{family.block_path(block)}.{family.query}.weight"].shape[0] // total
            shared = total * width // rows.shape[0]  # 1, or query heads per key head
            for number in numbers:
                rows[number // shared * width : (number // shared + 1) * width] = True
            masks[f"{path}.weight"] = mask
            if not outward and f"{path}.bias" in parameters:
                masks[f"{path}.bias"] = mask.any(dim=1)
    return masks


def _check_heads(net: "nn.Module", family: Family, block: int, numbers: Iterable[int], total: int) -> None:
    blocks = len(family.block_list(net))
    if not 0 <= block < blocks:
        raise TunesmithError(f"method.heads: no block {block}; this {family.name} has blocks 0 to {blocks - 1}")
    for number in numbers:
        if not 0 <= number < total:
            raise TunesmithError(f"method.heads: block {block} has no head {number}, only 0 to {total - 1}")


def _top(scores: "Tensor", share: float) -> "Tensor":
    import torch

    count = max(1, round(share * scores.numel()))
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    chosen[scores.topk(count).indices] = True
    return chosen

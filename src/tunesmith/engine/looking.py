"""Where a network looks: Grad-CAM, the places of an image that speak for a class.

    map = relu( sum_k a_k A_k )      A_k: feature map k of the last block      a_k: mean over places of d logit / d A_k

Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391. For a head on pooled maps this is what the head adds up. Where
the head reads a class token (ViT), patches are looked at where they enter the last block, and each place has its own
gradient: sum_k relu(dlogit/dA_k * A_k), since no pooling makes the places alike.

Shape letters: B rows, K maps, H height and W width of the maps.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from tunesmith.bases.family import VisionFamily
from tunesmith.engine.batches import collate
from tunesmith.tasks import Encoded

if TYPE_CHECKING:
    from tunesmith.engine.network import Network


def grad_cam(
    net: "Network", family: VisionFamily, encoded: Encoded, rows: Sequence[int], classes: Sequence[int]
) -> torch.Tensor:
    """How much each place speaks for a class of each row, (B, H, W) in [0, 1]; all 0 where none does. The network is
    left in evaluation mode."""
    net.eval()
    blocks = family.block_list(net.auto)
    by_token = family.state == "first"
    block = blocks[-2] if by_token and len(blocks) > 1 else blocks[-1]
    seen: list[torch.Tensor] = []

    def watch(module: Any, arguments: Any, answer: Any) -> Any:
        states = (answer if isinstance(answer, torch.Tensor) else answer[0]).detach().requires_grad_()
        seen.append(states)
        return states if isinstance(answer, torch.Tensor) else (states, *answer[1:])

    handle = block.register_forward_hook(watch)
    try:
        with torch.enable_grad():
            logits_BC = net(collate(encoded, rows, 0))
            picked = logits_BC[torch.arange(len(rows)), torch.tensor(list(classes))]
            (slopes,) = torch.autograd.grad(picked.sum(), seen[-1])
    finally:
        handle.remove()
    maps, slopes = _maps(seen[-1].detach(), by_token), _maps(slopes, by_token)
    if by_token:
        cam = (maps * slopes).clamp_min(0).sum(1)
    else:
        cam = (maps * slopes.mean((2, 3), keepdim=True)).sum(1).clamp_min(0)
    return cam / cam.amax((1, 2), keepdim=True).clamp_min(1e-12)


def _maps(states: torch.Tensor, by_token: bool) -> torch.Tensor:
    """Feature maps (B, K, H, W) of what a block gives: as they are, or a square of tokens without the class token."""
    if states.dim() == 4:
        return states
    tokens = states[:, 1:] if by_token else states
    side = round(tokens.shape[1] ** 0.5)
    return tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)

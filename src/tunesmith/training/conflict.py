"""Whether several tasks pull the backbone the same way: cosines between their gradients of what they share.

    cosine(p, q) = g_p . g_q / (|g_p| |g_q|)        g: gradient of the mean loss of some training rows of a task

Above 0 a step for one task is, to first order, a step for the other; below 0 it takes back what the other learnt.
Measured at each evaluation on the same few rows, in evaluation mode. Yu et al. 2020, https://arxiv.org/abs/2001.06782.

Shape letters: P tasks.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tunesmith.training.terms import is_shared

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tunesmith.model import Model
    from tunesmith.tasks import Encoded

ROWS = 32
"""Training rows of each task that are looked at; the cosine of means of more rows moves little."""


def seen(model: "Model", moving: "Mapping[str, nn.Parameter]", train: "Encoded") -> dict[str, Any] | None:
    """{names, cosines (P, P), norms (P,)}; None where there is one task, or where nothing that moves is shared."""
    parts, mine = model.plan.task.parts(model.facts), is_shared(model)
    shared = {name: p for name, p in moving.items() if p.requires_grad and mine(name)}
    if not parts or not shared:
        return None
    model.net.eval()
    flat = [_gradient(model, moving, shared, train, _some(part.rows(train))) for part in parts]
    norms = torch.stack([g.norm() for g in flat])
    cosines = torch.stack([torch.stack([a @ b for b in flat]) for a in flat]) / (norms[:, None] * norms).clamp_min(
        1e-30
    )
    return {"names": [part.name for part in parts], "cosines": cosines.tolist(), "norms": norms.tolist()}


def _some(rows: Any) -> list[int]:
    """Evenly taken."""
    picks = np.linspace(0, len(rows) - 1, min(ROWS, len(rows))).round().astype(int)
    return [int(row) for row in rows[picks]]


def _gradient(
    model: "Model", moving: "Mapping[str, nn.Parameter]", shared: "Mapping[str, nn.Parameter]", train: "Encoded",
    rows: Sequence[int],
) -> "Tensor":  # fmt: skip
    task, way = model.plan.task, model.shortcuts.way
    for piece in way.pieces(train, rows, model.plan.train.micro_tokens):
        torch.autograd.backward(task.step_loss(way, train, piece) / len(rows))
    parts = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in shared.values()]
    for parameter in moving.values():
        parameter.grad = None
    return torch.cat(parts).double()

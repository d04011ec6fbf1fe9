"""The memory of a training step of images, measured on one row: no formula of ours knows every architecture.

What the backward pass needs is what autograd is seen to keep, weights left out; a row is as good as any other, because
images have one size.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch

from tunesmith.bases.quant import num_bytes
from tunesmith.engine import memory
from tunesmith.engine.forecast import FLOAT, OPTIMIZER_BYTES, Forecast
from tunesmith.engine.network import trainable
from tunesmith.tasks import Encoded

if TYPE_CHECKING:
    from tunesmith.engine.batches import Batches
    from tunesmith.engine.shortcuts import Shortcuts

STEPS = 50
"""Steps whose pieces are looked at for the largest."""


def kept_for_backward(shortcuts: "Shortcuts[Any]", rows: Encoded) -> int:
    """Bytes that autograd keeps of one row. The network is left in evaluation mode, without gradients."""
    net: Any = shortcuts.net
    net.eval()
    weights = {p.untyped_storage().data_ptr() for p in net.parameters()}
    sizes: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        shortcuts.way.logits(rows, [0])  # the graph is dropped with it
    return sum(sizes.values())


def measured(
    shortcuts: "Shortcuts[Any]", train: Encoded, batches: "Batches", moving: "Mapping[str, torch.Tensor]",
    device: torch.device,
) -> tuple[Forecast, int]:  # fmt: skip
    """(forecast of the largest step, bytes that are free here)."""
    limit, steps = shortcuts.plan.train.micro_tokens, min(STEPS, batches.per_epoch)
    pieces = (p for s in range(steps) for p in shortcuts.way.pieces(train, batches.rows(s), limit))
    most = max(map(len, pieces), default=0)
    learning = sum(p.numel() for p in cast("Mapping[str, Any]", moving).values())
    held = num_bytes(shortcuts.net)["held"]
    activations = kept_for_backward(shortcuts, train) * most if trainable(shortcuts.net) else 0
    found = Forecast(
        weights=held + (FLOAT * learning if shortcuts.plan.train.ema is not None else 0), gradients=FLOAT * learning,
        optimizer=int(OPTIMIZER_BYTES[shortcuts.plan.train.optimizer] * learning), activations=activations, head=0,
    )  # fmt: skip
    return found, memory.room(device) + held

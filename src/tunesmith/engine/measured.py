"""The memory of a training step of images or sounds, measured on one row: no formula of ours knows every architecture.

What the backward pass needs is what autograd is seen to keep, weights left out, of the longest row; all images are as
long, and a piece of shorter sounds keeps no more than as many places of it.
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


def kept_for_backward(shortcuts: "Shortcuts[Any]", rows: Encoded, row: int = 0) -> int:
    """Bytes that autograd keeps of a row. The network is left in evaluation mode, without gradients."""
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
        shortcuts.sampled(rows, row)  # the graph is dropped with it
    return sum(sizes.values())


def measured(
    shortcuts: "Shortcuts[Any]", train: Encoded, batches: "Batches", moving: "Mapping[str, torch.Tensor]",
    device: torch.device,
) -> tuple[Forecast, int]:  # fmt: skip
    """(forecast of the largest step, bytes that are free here)."""
    limit, steps = shortcuts.plan.train.micro_tokens, min(STEPS, batches.per_epoch)
    pieces = (p for s in range(steps) for p in shortcuts.way.pieces(train, batches.rows(s), limit))
    lengths = train.lengths
    longest = int(lengths.argmax())
    most = max((len(p) * int(lengths[p].max()) for p in pieces), default=0) / max(1, int(lengths[longest]))
    learning = sum(p.numel() for p in cast("Mapping[str, Any]", moving).values())
    held = num_bytes(shortcuts.net)["held"]
    activations = round(kept_for_backward(shortcuts, train, longest) * most) if trainable(shortcuts.net) else 0
    found = Forecast(
        weights=held + (FLOAT * learning if shortcuts.plan.train.ema is not None else 0), gradients=FLOAT * learning,
        optimizer=int(OPTIMIZER_BYTES[shortcuts.plan.train.optimizer] * learning), activations=activations, head=0,
    )  # fmt: skip
    return found, memory.room(device) + held

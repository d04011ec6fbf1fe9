"""The self-check: on a few rows, a shortcut must give the loss and the gradients of the library's own forward pass.

At most three rows (shortest, median, longest) and 512 tokens, dropout off. It costs about as much as one step of four
rows, and makes an architecture that nobody tried slow at worst, never wrong.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tunesmith.data.ragged import Ragged
from tunesmith.engine.network import trainable
from tunesmith.engine.ways import Way
from tunesmith.tasks import Encoded, Slots

if TYPE_CHECKING:
    from tunesmith.engine.network import Network

TOLERANCE = 1e-5
"""Largest relative difference in fp32. Two correct computations differ by about 5e-7."""
TOKENS = 512
LOOKED_AT = 100_000
Losses = Callable[[torch.Tensor, Any], torch.Tensor]
"""(logits, targets if the rows have any) -> loss of each row."""


def probe(encoded: Encoded) -> Encoded:
    """Shortest, median and longest row with a known label, cut to 512 tokens in all; of very many rows, of some."""
    known = np.arange(0, len(encoded), max(1, len(encoded) // LOOKED_AT))
    targets = encoded.targets if encoded.reads is None else None
    if targets is not None and targets.dtype == np.int64 and targets.ndim == 1:
        known = known[targets[known] >= 0]
    by_length = known[np.argsort(encoded.ids.lengths_of(known), kind="stable")]
    rows = sorted({int(by_length[i]) for i in (0, len(by_length) // 2, -1)})
    room = TOKENS // len(rows)
    return replace(_cut(encoded, rows, room), others=tuple(_cut(form, rows, room) for form in encoded.others))


def _cut(encoded: Encoded, rows: Sequence[int], room: int) -> Encoded:
    """Some rows, at most `room` tokens of each: the first ones, or those around what is read."""
    starts, slots = dict.fromkeys(rows, 0), encoded.slots
    if slots is not None:
        for r in rows:
            end = int(slots.first[r]) + slots.count
            starts[r] = max(0, min(end - room // 2, len(encoded.ids[r]) - room))
        first = np.array([slots.first[r] - starts[r] for r in rows], dtype=np.int32)
        slots = Slots(first, slots.count)
    windows = {r: slice(starts[r], starts[r] + room) for r in rows}
    own, reads = list(rows), encoded.reads
    if reads is not None:
        kept = [reads[r][reads[r] < room].tolist() for r in rows]
        own = [int(reads.offsets[r]) + i for r, places in zip(rows, kept, strict=True) for i in range(len(places))]
        reads = Ragged.of(kept)
    targets = None if encoded.targets is None else encoded.targets[own]
    return Encoded(
        ids=Ragged.of([encoded.ids[r][windows[r]].tolist() for r in rows]),
        types=None if encoded.types is None else Ragged.of([encoded.types[r][windows[r]].tolist() for r in rows]),
        lost=np.zeros(len(rows), dtype=np.int32),
        targets=targets,
        side=None if encoded.side is None else encoded.side[list(rows)],
        weights=np.ones(len(rows), dtype=np.float32),
        slots=slots,
        reads=reads,
        beside=None if encoded.beside is None else encoded.beside.few(rows),
    )


def disagreement(net: "Network", plain: Way, fast: Way, rows: Encoded, losses: Losses | None) -> float:
    """Largest relative difference between two ways: of the logits and, where losses are given, of loss and gradient.

    The network is left in evaluation mode, without gradients, and the random state untouched.
    """
    net.eval()
    every = list(range(len(rows)))
    if losses is None or not trainable(net):  # gradual thaws when the first epoch begins
        with torch.inference_mode():
            return relative(_each(plain, rows), fast.logits(rows, every))
    found = []
    for way in (plain, fast):
        net.zero_grad(set_to_none=True)
        logits_BC = _each(way, rows) if way is plain else way.logits(rows, every)
        targets = None if rows.targets is None else torch.from_numpy(rows.targets).to(logits_BC.device)
        loss = losses(logits_BC, targets).sum()
        torch.autograd.backward(loss)
        found.append((logits_BC.detach(), loss.detach(), gradients_of(net)))
    net.zero_grad(set_to_none=True)
    (logits, loss, gradients), (others, other, changed) = found
    return max(relative(logits, others), relative(loss, other), apart(gradients, changed))


def _each(way: Way, rows: Encoded) -> torch.Tensor:
    """The plain way one row at a time: without padding there is nothing that a mask could get wrong."""
    return torch.cat([way.logits(rows, [i]) for i in range(len(rows))])


def gradients_of(net: "Network") -> dict[str, torch.Tensor]:
    """A copy of every gradient."""
    return {n: p.grad.detach().clone() for n, p in trainable(net).items() if p.grad is not None}


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest difference, in units of the largest value (at least 1)."""
    return float((a - b).abs().max() / a.abs().max().clamp_min(1.0))


def apart(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> float:
    """Norm of the difference over the norm; infinite where one way reaches a tensor that the other does not."""
    if set(a) != set(b):
        return float("inf")
    norm = math.sqrt(sum(float(g.double().square().sum()) for g in a.values()))
    apart = math.sqrt(sum(float((a[n] - b[n]).double().square().sum()) for n in a))
    return apart / max(norm, 1e-6)

"""Cross-entropy from states and the head's weight, without the logits ever lying in memory as a whole.

    loss_s = log sum_v exp(z_sv) - (1 - e) z_s,y(s) - e mean_v z_sv        z = states W^T + b        e: label smoothing

The vocabulary is walked in slabs. A slab's weight is read once for two products, its logits and their pull on the
states, sum_v exp(z_sv) W_v; sums and pulls of earlier slabs are scaled down when a larger logit turns up (the online
softmax of Milakov & Gimelshein 2018, https://arxiv.org/abs/1805.02867, carried on to the gradient as in Rabe & Staats
2021, https://arxiv.org/abs/2112.05682). So the states' gradient is done in the forward pass and, with a frozen head,
nothing is left for the backward pass but one multiplication. A head that learns gets its gradient from a second walk
in the backward pass, because only then it is known what each position's loss counts for.

Logits are float32 (float64 where that is computed to compare with), whatever the format of states and weight.

Shape letters: S supervised positions, H width, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import cross_entropy, linear
from torch.utils.checkpoint import checkpoint

BUDGET = 64 << 20
"""Bytes of logits held at a time."""
CPU_TILE = 4 << 20
"""On a CPU no more than this, whatever the budget: a tile that stays in the cache is faster. 350 positions, vocabulary
152k, one thread: 1.69 s with tiles of 3 MB, 1.80 s with 23 MB, 2.33 s with whole positions in chunks of 64 MB."""
_ROWS, _NARROW = 1024, 128
"""Positions of a tile at most, and vocabulary of a tile at least where the budget allows it."""


class Told(NamedTuple):
    """What evaluation wants to know of each position."""

    losses_S: Tensor
    hits_S: Tensor
    """Whether the label has the largest logit; the first of equals wins."""


def losses(
    states_SH: Tensor, head: nn.Module, labels_S: Tensor, smoothing: float = 0.0, budget: int = BUDGET
) -> Tensor:
    """Loss of each position, (S,), differentiable to the states and to whatever learns in the head.

    A head that is more than a linear layer (LoRA on it, a trained copy, hooks) is called as it is, a chunk of
    positions at a time, and again in the backward pass.
    """
    if _is_bare(head):
        apply = cast("Callable[..., Tensor]", _Loss.apply)
        return apply(states_SH, head.weight, head.bias, labels_S, (smoothing, budget))
    found = [
        checkpoint(_through, states, head, labels, smoothing, use_reentrant=False)
        for states, labels in _chunks(states_SH, head, labels_S, budget)
    ]
    return torch.cat(cast("list[Tensor]", found))


def told(states_SH: Tensor, head: nn.Module, labels_S: Tensor, budget: int = BUDGET) -> Told:
    """Losses and hits of each position, without gradients."""
    found = []
    with torch.no_grad():
        if _is_bare(head):
            walk = _walk(states_SH, head.weight, head.bias, budget, best=True)
            logits_S, _ = _at(walk.states_SH, head.weight, head.bias, labels_S)
            return Told(walk.sums_S - logits_S, torch.eq(cast("Tensor", walk.best_S), labels_S))
        for states, labels in _chunks(states_SH, head, labels_S, budget):
            logits = _exact(head(states))
            found.append((cross_entropy(logits, labels, reduction="none"), logits.argmax(1) == labels))
    return Told(torch.cat([f[0] for f in found]), torch.cat([f[1] for f in found]))


def _is_bare(head: nn.Module) -> TypeGuard[nn.Linear]:
    return type(head) is nn.Linear and not head._forward_hooks and not head._forward_pre_hooks


def _exact(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


# a head that is called as it is


def _chunks(states_SH: Tensor, head: nn.Module, labels_S: Tensor, budget: int) -> Iterator[tuple[Tensor, Tensor]]:
    outputs = max((p.shape[0] for p in head.parameters() if p.dim() == 2), default=1)
    rows = max(1, budget // (4 * outputs))
    return zip(torch.split(states_SH, rows), torch.split(labels_S, rows), strict=True)


def _through(states_SH: Tensor, head: nn.Module, labels_S: Tensor, smoothing: float) -> Tensor:
    return cross_entropy(_exact(head(states_SH)), labels_S, reduction="none", label_smoothing=smoothing)


# a bare linear head


@dataclass
class _Walked:
    states_SH: Tensor
    """The states in the format of the logits."""
    sums_S: Tensor
    """log sum_v exp(z)."""
    best_S: Tensor | None
    """Where the largest logit is."""
    pulls_SH: Tensor | None
    """sum_v softmax(z)_v W_v."""


def _slabs(num: int, vocabulary: int, budget: int, states: Tensor) -> tuple[list[slice], list[slice]]:
    """Slices of the positions and of the vocabulary: the tiles that they span keep to the budget."""
    places = (min(budget, CPU_TILE) if states.device.type == "cpu" else budget) // states.element_size()
    rows = max(1, min(num, _ROWS, places // _NARROW))
    width = max(1, places // rows)
    return _cut(num, rows), _cut(vocabulary, width)


def _cut(total: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, total)) for start in range(0, total, step)]


def _slab(weight_VH: Tensor, bias_V: Tensor | None, part: slice, like: Tensor) -> tuple[Tensor, Tensor | None]:
    return weight_VH[part].to(like.dtype), None if bias_V is None else bias_V[part].to(like.dtype)


def _walk(
    states_SH: Tensor, weight_VH: Tensor, bias_V: Tensor | None, budget: int, *, best: bool = False, pulls: bool = False
) -> _Walked:
    """One walk over the vocabulary for a tile of positions after the other."""
    states_SH = _exact(states_SH)
    rows, slabs = _slabs(len(states_SH), len(weight_VH), budget, states_SH)
    out = _Walked(
        states_SH,
        states_SH.new_empty(len(states_SH)),
        torch.zeros(len(states_SH), dtype=torch.int64, device=states_SH.device) if best else None,
        torch.zeros_like(states_SH) if pulls else None,
    )
    for row in rows:
        states = states_SH[row]
        peaks_S1 = states.new_full((len(states), 1), -torch.inf)
        sums_S1 = torch.zeros_like(peaks_S1)
        for part in slabs:
            weight, bias = _slab(weight_VH, bias_V, part, states)
            logits = linear(states, weight, bias)
            if out.best_S is None:
                tops_S1 = logits.amax(1, keepdim=True)
            else:
                tops_S1, where_S1 = logits.max(1, keepdim=True)
                out.best_S[row] = torch.where(tops_S1 > peaks_S1, where_S1 + part.start, out.best_S[row, None])[:, 0]
            highest_S1 = torch.maximum(peaks_S1, tops_S1)
            shrink_S1 = (peaks_S1 - highest_S1).exp_()
            logits.sub_(highest_S1).exp_()
            sums_S1.mul_(shrink_S1).add_(logits.sum(1, keepdim=True))
            if out.pulls_SH is not None:
                out.pulls_SH[row].mul_(shrink_S1).addmm_(logits, weight)
            peaks_S1 = highest_S1
        if out.pulls_SH is not None:
            out.pulls_SH[row].div_(sums_S1)
        out.sums_S[row] = (sums_S1.log_() + peaks_S1)[:, 0]
    return out


def _at(states_SH: Tensor, weight_VH: Tensor, bias_V: Tensor | None, labels_S: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of the labels (S,) and the rows of the weight that they belong to (S, H)."""
    weight_SH = weight_VH[labels_S].to(states_SH.dtype)
    logits_S = (states_SH * weight_SH).sum(1)
    return (logits_S if bias_V is None else logits_S + bias_V[labels_S]), weight_SH


class _Loss(torch.autograd.Function):
    """(states, weight, bias, labels, (smoothing, budget)) -> losses (S,)."""

    @staticmethod
    def forward(
        ctx: Any, states_SH: Tensor, weight_VH: Tensor, bias_V: Tensor | None, labels_S: Tensor, how: tuple[float, int]
    ) -> Tensor:
        smoothing, budget = how
        with torch.autocast(states_SH.device.type, enabled=False):
            walked = _walk(states_SH, weight_VH, bias_V, budget, pulls=ctx.needs_input_grad[0])
            logits_S, weight_SH = _at(walked.states_SH, weight_VH, bias_V, labels_S)
            losses_S = walked.sums_S - (1 - smoothing) * logits_S
            if walked.pulls_SH is not None:
                walked.pulls_SH.sub_(weight_SH, alpha=1 - smoothing)
            if smoothing:
                middle_H = weight_VH.sum(0, dtype=losses_S.dtype) / len(weight_VH)
                losses_S -= smoothing * (walked.states_SH @ middle_H)
                if bias_V is not None:
                    losses_S -= smoothing * bias_V.to(losses_S.dtype).mean()
                if walked.pulls_SH is not None:
                    walked.pulls_SH.sub_(middle_H, alpha=smoothing)
        learns = any(ctx.needs_input_grad[1:3])
        ctx.save_for_backward(
            walked.pulls_SH, *((states_SH, weight_VH, bias_V, labels_S, walked.sums_S) if learns else ())
        )
        ctx.smoothing, ctx.budget, ctx.format = smoothing, budget, states_SH.dtype
        return losses_S

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_S: Tensor) -> tuple[Tensor | None, ...]:
        pulls_SH, *kept = ctx.saved_tensors
        weight, bias = None, None
        if kept:
            with torch.autocast(grad_S.device.type, enabled=False):
                weight, bias = _head_gradients(kept, grad_S, ctx.smoothing, ctx.budget)
        states = None if pulls_SH is None else (pulls_SH * grad_S[:, None]).to(ctx.format)
        return states, weight, bias if ctx.needs_input_grad[2] else None, None, None


def _head_gradients(
    kept: Sequence[Tensor], grad_S: Tensor, smoothing: float, budget: int
) -> tuple[Tensor, Tensor | None]:
    """Gradients of weight and bias: the second walk, for all positions of a slab before the next."""
    states_SH, weight_VH, bias_V, labels_S, sums_S = kept
    states_SH = _exact(states_SH)
    rows, slabs = _slabs(len(states_SH), len(weight_VH), budget, states_SH)
    gradient_VH = torch.zeros_like(weight_VH)
    gradient_V = states_SH.new_zeros(len(weight_VH))
    for part in slabs:
        weight, bias = _slab(weight_VH, bias_V, part, states_SH)
        for row in rows:
            shares = linear(states_SH[row], weight, bias).sub_(sums_S[row, None]).exp_().mul_(grad_S[row, None])
            gradient_VH[part] += (shares.T @ states_SH[row]).to(weight_VH.dtype)
            gradient_V[part] += shares.sum(0)
    pushes_SH = states_SH * grad_S[:, None]
    if smoothing:
        gradient_VH.sub_((pushes_SH.sum(0) / len(weight_VH)).to(weight_VH.dtype), alpha=smoothing)
        gradient_V.sub_(grad_S.sum() / len(weight_VH), alpha=smoothing)
    gradient_VH.index_add_(0, labels_S, pushes_SH.to(weight_VH.dtype), alpha=smoothing - 1)
    gradient_V.index_add_(0, labels_S, grad_S, alpha=smoothing - 1)
    return gradient_VH, None if bias_V is None else gradient_V.to(bias_V.dtype)

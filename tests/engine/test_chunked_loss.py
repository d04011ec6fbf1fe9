"""The loss in slabs of the vocabulary equals torch's cross-entropy: values, gradients, low precision, memory."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear

from tunesmith.engine import chunked_loss

S, H, V = 37, 8, 300


def parts(bias: bool = True, dtype: torch.dtype = torch.float64) -> tuple[Tensor, nn.Linear, Tensor]:
    states = (torch.randn(S, H, dtype=dtype) * 3).requires_grad_()
    head = nn.Linear(H, V, bias=bias, dtype=dtype)
    labels = torch.randint(0, V, (S,))
    labels[:5] = labels[0]  # a label met several times
    return states, head, labels


@pytest.mark.parametrize("budget", (1, 8 * 40, 8 * 128 * 5, 8 * 1024 * 40, 64 << 20))
@pytest.mark.parametrize("smoothing", (0.0, 0.1))
@pytest.mark.parametrize("bias", (True, False))
@pytest.mark.parametrize("learns", (True, False))
def test_values_and_gradients_are_torchs(bias: bool, learns: bool, smoothing: float, budget: int) -> None:
    states, head, labels = parts(bias)
    head.requires_grad_(learns)
    pulls = torch.randn(S, dtype=torch.float64)  # another weight for every position, negative ones too
    found = []
    for ours in (True, False):
        states.grad = None
        head.zero_grad(set_to_none=True)
        if ours:
            losses = chunked_loss.losses(states, head, labels, smoothing, budget)
        else:
            losses = cross_entropy(head(states), labels, reduction="none", label_smoothing=smoothing)
        (losses * pulls).sum().backward()
        found.append((losses.detach(), states.grad, *(p.grad for p in head.parameters() if learns)))
    for a, b in zip(*found, strict=True):
        assert (a - b).abs().max() <= 1e-10 * b.abs().max().clamp_min(1)


def test_gradcheck() -> None:
    states, head, labels = parts()
    arguments = (states[:6], head.weight[:40], head.bias[:40])
    free = [a.detach().clone().requires_grad_() for a in arguments]
    check = lambda s, w, b: chunked_loss._Loss.apply(s, w, b, labels[:6] % 40, (0.1, 8 * 6 * 7))  # noqa: E731
    assert torch.autograd.gradcheck(check, free)


@pytest.mark.parametrize("hooked", (True, False))
def test_evaluation_tells_losses_and_hits(hooked: bool) -> None:
    states, head, labels = parts()
    if hooked:
        head.register_forward_hook(lambda module, given, made: made * 1.0)
    logits = head(states)
    labels[::2] = logits.argmax(1)[::2]
    found = chunked_loss.told(states, head, labels, 8 * 128 * 3)
    assert (found.losses_S - cross_entropy(logits, labels, reduction="none")).abs().max() <= 1e-10
    assert torch.equal(found.hits_S, logits.argmax(1) == labels)
    assert found.hits_S.any()
    assert not found.losses_S.requires_grad


def test_a_head_with_more_than_a_weight_is_called_as_it_is() -> None:
    states, head, labels = parts()
    head.register_forward_hook(lambda module, given, made: made * 2.0)
    found = []
    for ours in (True, False):
        states.grad = head.weight.grad = None
        if ours:
            losses = chunked_loss.losses(states, head, labels, 0.1, 4 * V * 5)
        else:
            losses = cross_entropy(head(states), labels, reduction="none", label_smoothing=0.1)
        losses.sum().backward()
        found.append((losses.detach(), states.grad, head.weight.grad))
    for a, b in zip(*found, strict=True):
        assert (a - b).abs().max() <= 1e-10 * b.abs().max().clamp_min(1)


def test_tied_embeddings_get_both_gradients() -> None:
    table = nn.Embedding(V, H, dtype=torch.float64)
    head = nn.Linear(H, V, bias=False, dtype=torch.float64)
    head.weight = table.weight
    ids, labels = torch.randint(0, V, (S,)), torch.randint(0, V, (S,))
    grads = []
    for ours in (True, False):
        table.weight.grad = None
        losses = (
            chunked_loss.losses(table(ids), head, labels)
            if ours
            else cross_entropy(head(table(ids)), labels, reduction="none")
        )
        losses.mean().backward()
        grads.append(table.weight.grad)
    assert (grads[0] - grads[1]).abs().max() <= 1e-12


@pytest.mark.parametrize("weights", (torch.float32, torch.bfloat16))
def test_logits_are_float32_under_autocast(weights: torch.dtype) -> None:
    states, head, labels = parts(dtype=torch.float32)
    head.to(weights).requires_grad_(False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = chunked_loss.losses(states.bfloat16(), head, labels)
    wanted = cross_entropy(
        linear(states.bfloat16().float(), head.weight.float(), head.bias.float()), labels, reduction="none"
    )
    assert found.dtype == torch.float32
    assert (found - wanted).abs().max() <= 1e-5
    found.sum().backward()
    assert states.grad is not None


def test_large_logits_neither_overflow_nor_vanish() -> None:
    states, head, labels = parts(dtype=torch.float32)
    found = chunked_loss.losses(states * 1e4, head, labels, 0.0, 4 * 128 * 37)
    wanted = cross_entropy(
        (states * 1e4).double() @ head.weight.double().T + head.bias.double(), labels, reduction="none"
    )
    assert torch.allclose(found.double(), wanted, rtol=1e-5)


def test_no_tile_is_larger_than_the_budget() -> None:
    states = torch.empty(5000, 1)
    for budget in (4, 4 * 128, 1 << 20, 1 << 30):
        rows, slabs = chunked_loss._slabs(5000, 151_936, budget, states)
        tile = 4 * max(s.stop - s.start for s in rows) * max(s.stop - s.start for s in slabs)
        assert tile <= max(4, min(budget, chunked_loss.CPU_TILE))
        assert sum(s.stop - s.start for s in rows) == 5000
        assert sum(s.stop - s.start for s in slabs) == 151_936

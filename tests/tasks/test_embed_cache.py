"""The gradient cache: a step in pieces has the loss and the gradient of the whole step, with and without dropout."""

from typing import Any

import pytest
import torch

import embedding
from kit import TinyBases
from tunesmith.engine.network import override_dropout

ROWS = list(range(12))


def run(model: Any, encoded: Any, max_tokens: int, way: Any) -> tuple[float, torch.Tensor, int]:
    """(loss, all gradients, pieces) of one step."""
    task = model.plan.task
    model.net.zero_grad()
    torch.manual_seed(7)
    faced = task.faced(way, encoded, ROWS, max_tokens)
    pieces, total = list(way.pieces(faced, ROWS, max_tokens)), 0.0
    for piece in pieces:
        loss = task.step_loss(way, faced, piece)
        torch.autograd.backward(loss)
        total += loss.item()
    return total, torch.cat([p.grad.flatten() for p in model.net.parameters() if p.grad is not None]), len(pieces)


@pytest.mark.parametrize(
    ("scored", "wrong", "task"),
    [
        (False, 0, {}), (False, 2, {"symmetric": True}), (False, 1, {"loss": "triplet"}),
        (False, 0, {"matryoshka": [32, 16]}), (True, 0, {"loss": "cosent"}), (True, 0, {"loss": "cosine"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", (False, True))
def test_a_step_in_pieces_is_the_whole_step(
    tiny_bases: TinyBases, scored: bool, wrong: int, task: dict[str, Any], packed: bool
) -> None:
    model, encoded, _ = embedding.made(tiny_bases["bert"], embedding.pairs(12, scored=scored, wrong=wrong), **task)
    model.shortcuts.prove(encoded, learning=True)
    assert model.shortcuts.refused == []
    model.net.eval()
    way = model.shortcuts.way if packed else model.shortcuts.plain
    loss, gradient, one = run(model, encoded, 1 << 30, model.shortcuts.plain if not packed else way)
    again, same, several = run(model, encoded, 40, way)
    assert several > 3 and (one == 1 or not packed)
    assert again == pytest.approx(loss, rel=1e-5)
    assert (same - gradient).abs().max() <= 1e-5 * gradient.abs().max()


def test_both_passes_draw_the_same_dropout(tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second pass must compute the very vectors that the loss was computed from."""
    from tunesmith.tasks.embed import Embed

    model, encoded, _ = embedding.made(tiny_bases["bert"], embedding.pairs(12))
    override_dropout(model.net, 0.3)
    model.net.train()
    seen: list[torch.Tensor] = []
    states = Embed.states
    monkeypatch.setattr(Embed, "states", lambda *given: seen.append(states(*given)) or seen[-1])
    _, _, pieces = run(model, encoded, 40, model.shortcuts.plain)
    first, second = seen[:pieces], seen[pieces:]
    assert len(first) == len(second) > 3
    for a, b in zip(first, second, strict=True):
        assert not a.requires_grad and b.requires_grad and torch.equal(a, b)
    assert not torch.equal(*(states(model.plan.task, model.shortcuts.plain, encoded.inner, [0]) for _ in range(2)))


def test_a_method_that_needs_equal_lengths_is_served(tiny_bases: TinyBases) -> None:
    model, encoded, _ = embedding.made(tiny_bases["llama"], embedding.pairs(12), method="prompt", pool="base")
    assert model.equal_lengths
    model.net.eval()
    found = [run(model, encoded, limit, model.shortcuts.plain)[:2] for limit in (1 << 30, 40)]
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert (found[0][1] - found[1][1]).abs().max() <= 1e-5 * found[0][1].abs().max()

"""The forecast of memory against what autograd really keeps, and the figures that need no network."""

from typing import Any

import pytest
import torch

import small
from kit import TinyBases
from tunesmith.engine import fitting
from tunesmith.engine.batches import Batches
from tunesmith.engine.forecast import Held, Shape, Step, check_bytes, forecast, size
from tunesmith.engine.network import override_dropout, training_mode
from tunesmith.model import weights

LLAMA_7B = Shape(32, 4096, 11008, 4096, 32, 32_000, gated=True, split_norms=True)
TEXTS = [" ".join(["pump"] * (5 + i % 9)) for i in range(24)]


def kept(made: Any, encoded: Any, rows: list[int]) -> int:
    """Bytes that autograd keeps for one forward pass, parameters left out."""
    own = {p.untyped_storage().data_ptr() for p in made.net.parameters()}
    found: dict[int, int] = {}
    held = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            held.append(tensor)  # so that no storage is given back and counted again
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    training_mode(made.net, made.plan.method, made.family)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        made.plan.task.step_loss(made.shortcuts.way, encoded, rows)
    return sum(found.values())


@pytest.mark.parametrize("dropout", (0.0, 0.1))
@pytest.mark.parametrize("family", ("bert", "llama", "qwen2"))
@pytest.mark.parametrize("method", ("full", {"name": "lora", "r": 1}))
def test_activations_are_what_autograd_keeps(family: str, method: Any, dropout: float, tiny_bases: TinyBases) -> None:
    rows = small.records(TEXTS, ["a", "b", "c"] * 8)
    made = small.model(small.plan(tiny_bases[family], method=method, batch=24, dropout=dropout), rows)
    override_dropout(made.net, dropout)
    encoded = small.encoded(made, rows)
    made.shortcuts.prove(encoded, learning=True)
    batches = Batches(encoded.ids, 24, None, 0)
    found = fitting.fit(made.shortcuts, encoded, batches, weights(made), torch.device("cpu"), narrow=False)
    assert not made.net.checkpointing
    measured = kept(made, encoded, list(range(24)))
    assert 0.75 * measured <= found.forecast.activations + found.forecast.head <= 1.35 * measured


def test_weights_gradients_and_state_are_counted(tiny_bases: TinyBases) -> None:
    rows = small.records()
    for method in ("full", "lora", "head"):
        made = small.model(small.plan(tiny_bases["bert"], method=method), rows)
        encoded = small.encoded(made, rows)
        made.shortcuts.prove(encoded, learning=True)
        moving = weights(made)
        found = fitting.fit(
            made.shortcuts, encoded, Batches(encoded.ids, 8, None, 0), moving, torch.device("cpu"), narrow=False
        ).forecast
        assert found.weights == sum(4 * p.numel() for p in made.net.parameters())
        assert found.gradients == sum(4 * p.numel() for p in moving.values())
        assert found.optimizer == 2 * found.gradients
        assert (found.activations == 0) == (method == "head")


def test_a_7b_model_needs_what_is_known_of_it() -> None:
    """6.7e9 weights: 27 GB in fp32, three times that again to learn them all with AdamW; 3.6 GB or so in 4 bits."""
    step = Step(tokens=2048, longest=512, reads=1024, above=32, language=True)
    num = 6_738_000_000
    full = forecast(LLAMA_7B, step, Held(4 * num, num - 262_000_000, num))
    assert full.total == pytest.approx(4 * 4 * num, rel=0.25)
    lora = forecast(LLAMA_7B, step, Held(4 * num, num, 20_000_000))
    assert lora.gradients + lora.optimizer == 12 * 20_000_000
    small_one = forecast(LLAMA_7B, step._replace(checkpointing=True), Held(int(0.53 * num), 0, 20_000_000))
    assert small_one.activations < lora.activations / 8
    assert small_one.total < 8e9 < lora.total
    narrow = forecast(LLAMA_7B, step._replace(narrow=True), Held(4 * num, num, 20_000_000))
    assert narrow.activations == lora.activations // 2
    assert narrow.weights == lora.weights + 2 * num, "copies in bf16 are kept for the backward pass"


def test_the_check_holds_the_logits_of_one_row_and_never_those_of_a_step() -> None:
    held, shape = Held(0, 10**6, 1000), Shape(2, 64, 128, 64, 4, 100_000, gated=True, split_norms=True)
    step = Step(tokens=2048, longest=400, reads=1024, above=2, language=True)
    logits = check_bytes(shape, step, held)
    row = 512 // 3
    assert logits == pytest.approx(4 * 100_000 * (2 * row + 3 * row // 2), rel=0.02)
    assert check_bytes(shape, step._replace(tokens=60, reads=30, longest=10), held) < logits / 10
    assert check_bytes(shape, step._replace(language=False), held) < 0.1 * logits


def test_padded_language_models_hold_every_logit() -> None:
    step = Step(tokens=2048, longest=512, reads=1024, above=32, language=True)
    held = Held(0, 0, 0)
    assert forecast(LLAMA_7B, step, held).head < 2e8
    assert forecast(LLAMA_7B, step._replace(packed=False), held).head > 8e8
    assert size(1_234_000_000) == "1.2 GB"
    assert size(12_340_000) == "12.3 MB"

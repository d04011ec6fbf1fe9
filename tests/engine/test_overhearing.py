"""What the output layer is given is the same however the network is run, and the logits are made of it."""

from typing import Any

import pytest
import torch

import small
from kit import TinyBases
from tunesmith.engine.overhearing import layer_of
from tunesmith.progress import Progress

ROWS = small.records()


@pytest.mark.parametrize(("family", "method"), [
    ("bert", "lora"), ("bert", "head"), ("bert", {"name": "prompt", "tokens": 3}), ("bert", "prefix"),
    ("roberta", "full"), ("distilbert", "lora"), ("electra", "full"), ("deberta-v2", "lora"), ("llama", "lora"),
    ("qwen2", {"name": "layers", "top": 1}), ("qwen2", {"name": "prompt", "tokens": 3}), ("gpt2", "full"),
])  # fmt: skip
def test_states_are_what_the_logits_are_made_of(family: str, method: Any, tiny_bases: TinyBases) -> None:
    made = small.model(small.plan(tiny_bases[family], method=method), ROWS)
    encoded = small.encoded(made, ROWS)
    made.shortcuts.prove(encoded, learning=True)
    made.shortcuts.cache({"train": encoded}, Progress(silent=True))
    made.net.eval()
    layer = layer_of(made.net.auto, made.family)
    rows = [3, 0, 9, 1, 4] if not made.equal_lengths else [3]
    with torch.inference_mode():
        plain = [made.shortcuts.plain.told(encoded, [row]) for row in rows]
        for way in (made.shortcuts.plain, made.shortcuts.way):
            logits_BC, states_BH = way.told(encoded, rows)
            assert states_BH.shape == (len(rows), layer.in_features)
            assert torch.equal(logits_BC, way.logits(encoded, rows))
            torch.testing.assert_close(layer(states_BH), logits_BC, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(states_BH, torch.cat([s for _, s in plain]), rtol=1e-4, atol=1e-5)
    assert not layer._forward_pre_hooks, "nobody listens any more"

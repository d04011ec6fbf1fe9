"""Mean pooling: every head reads the mean over its row's tokens, whatever the padding and the method."""

import numpy as np
import pytest
import torch

import small
from kit import TinyBases
from tunesmith.engine.batches import collate
from tunesmith.model import Model, ecosystem

ROWS = small.records()
FAMILIES = ("bert", "distilbert", "roberta", "electra", "deberta-v2", "llama", "qwen2")


def made(bases: TinyBases, family: str, method: object = "full") -> Model:
    return small.model(small.plan(bases[family], method=method, task={"name": "classify", "pool": "mean"}), ROWS)


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_does_not_reach_the_mean(family: str, tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, family)
    model.net.eval()
    whole = small.encoded(model, ROWS)
    with torch.no_grad():
        pad = model.tokenizer.pad_token_id
        alone = torch.cat([model.net(collate(whole, [i], pad)) for i in range(len(ROWS))])
        together = model.net(collate(whole, range(len(ROWS)), pad))
    assert torch.allclose(alone, together, atol=1e-5)
    assert np.abs(model.outputs(whole) - alone.numpy()).max() <= 1e-5


def test_it_is_the_mean_that_is_read(tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, "bert")
    model.net.eval()
    whole = small.encoded(model, ROWS[:1])
    ids = torch.from_numpy(whole.ids[0].astype(np.int64))[None]
    auto = model.net.auto
    with torch.no_grad():
        states = auto.bert.encoder(auto.bert.embeddings(input_ids=ids)).last_hidden_state
        expected = auto.classifier(states[0].mean(0))
    assert np.abs(model.outputs(whole)[0] - expected.numpy()).max() <= 1e-5


@pytest.mark.parametrize("method", ("full", "head", "lora", "bitfit", "prefix", "prompt"))
def test_a_pooler_that_is_passed_by_rests_and_training_goes_on(method: str, tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, "bert", {"name": method, **({"tokens": 3} if method in ("prefix", "prompt") else {})})
    assert not any(p.requires_grad for n, p in model.net.named_parameters() if "pooler" in n)
    encoded = small.encoded(model, ROWS)
    before = model.outputs(encoded)
    small.loop(model, encoded).run()
    assert np.abs(model.outputs(encoded) - before).max() > 0


def test_the_class_says_that_other_tools_do_not_read_means(tiny_bases: TinyBases) -> None:
    assert ecosystem(made(tiny_bases, "bert").plan) == "tunesmith"
    assert ecosystem(small.plan(tiny_bases["bert"])) == "plain"

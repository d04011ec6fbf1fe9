"""New outputs start where they are told; those of labels that a base knows stay its own."""

from pathlib import Path

import pytest
import torch

import tiny
from tunesmith.bases.family import family_of
from tunesmith.bases.find import find
from tunesmith.bases.heads import output_layer
from tunesmith.bases.load import load_net

START = (-2.0, 0.5, -4.0)


def biases(source: str, labels: tuple[str, ...], start: tuple[float, ...]) -> list[float] | None:
    found = find(source)
    torch.manual_seed(0)
    named = {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}
    net = load_net(found, num_labels=len(labels), start=start, **named)
    layer = output_layer(net, family_of(found.model_type, "classify", found.config))
    assert layer is not None
    return None if layer[1].bias is None else layer[1].bias.tolist()


@pytest.mark.parametrize("family", ("bert", "distilbert", "roberta", "electra", "deberta-v2"))
def test_a_fresh_head_starts_where_it_is_told(family: str) -> None:
    assert biases(str(tiny.folder(family)), ("a", "b", "c"), START) == pytest.approx(START)
    assert biases(str(tiny.folder(family)), ("a", "b", "c"), ()) == [0.0] * 3


def test_a_head_without_biases_starts_as_it_is_drawn() -> None:
    assert biases(str(tiny.folder("llama")), ("a", "b", "c"), START) is None


def test_labels_that_a_base_knows_keep_their_outputs(tmp_path: Path) -> None:
    net = tiny.fresh("bert", outputs=2)
    net.config.id2label, net.config.label2id = {0: "b", 1: "a"}, {"b": 0, "a": 1}
    with torch.no_grad():
        net.classifier.bias.copy_(torch.tensor([7.0, 8.0]))
    net.save_pretrained(tmp_path)
    tiny.tokenizer("bert").save_pretrained(tmp_path)
    assert biases(str(tmp_path), ("a", "b", "c"), START) == [8.0, 7.0, START[2]]

"""The network: padding changes no answer, what is frozen runs as at prediction time, dropout is where it was asked."""

import numpy as np
import pytest
import torch
from torch import nn

import small
from kit import TinyBases
from tunesmith.engine.batches import collate
from tunesmith.engine.network import count, override_dropout, trainable, training_mode
from tunesmith.model import Model

FAMILIES = ("bert", "distilbert", "roberta", "electra", "deberta-v2", "llama", "qwen2")
ROWS = small.records()


def made(bases: TinyBases, family: str, method: object = "full", **train: object) -> Model:
    return small.model(small.plan(bases[family], method=method, **train), ROWS)


def answer(model: Model, rows: list[int]) -> np.ndarray:
    """Logits of these rows in one batch, as they are padded together."""
    whole = small.encoded(model, ROWS)
    with torch.no_grad():
        return model.net(collate(whole, rows, model.tokenizer.pad_token_id)).numpy()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_alone_answers_as_in_any_batch(family: str, tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, family)
    model.net.eval()
    alone = np.concatenate([answer(model, [i]) for i in range(len(ROWS))])
    together = answer(model, list(range(len(ROWS))))
    assert np.abs(alone - together).max() <= 1e-5
    assert np.abs(alone[::-1] - answer(model, list(reversed(range(len(ROWS)))))).max() <= 1e-5
    assert np.abs(alone - model.outputs(small.encoded(model, ROWS))).max() <= 1e-5, "and through answer_rows, in order"


@pytest.mark.parametrize("method", ("prompt", "prefix", "ptuning"))
@pytest.mark.parametrize("family", ("bert", "qwen2"))
def test_virtual_tokens_leave_padding_without_effect(family: str, method: str, tiny_bases: TinyBases) -> None:
    asked = small.plan(tiny_bases[family], method={"name": method, "tokens": 3})
    model = small.model(asked, ROWS)
    whole = small.encoded(model, ROWS)
    alone = np.concatenate([model.outputs(small.encoded(model, [row])) for row in ROWS])
    assert np.abs(alone - model.outputs(whole)).max() <= 1e-5


def modes(model: Model) -> dict[str, bool]:
    training_mode(model.net, model.plan.method, model.family)
    return {n: m.training for n, m in model.net.auto.named_modules() if isinstance(m, nn.Dropout)}


@pytest.mark.parametrize(
    "family", ("bert", "distilbert", "roberta", "electra", "deberta-v2", "phi", "gpt2", "gpt_neox")
)
def test_frozen_blocks_and_embeddings_run_without_dropout(family: str, tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, family, {"name": "layers", "top": 1})
    on = modes(model)
    top = f"{model.family.blocks}.3."
    for name, training in on.items():
        above = name.startswith(top) or model.family.is_head(name + ".x") or name in ("dropout", "classifier.dropout")
        assert training == above, name
    assert any(on.values()) and not all(on.values())


@pytest.mark.parametrize("family", ("bert", "qwen2"))
def test_a_frozen_backbone_gives_the_same_states_at_each_pass(family: str, tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, family, "head")
    training_mode(model.net, model.plan.method, model.family)
    batch = collate(small.encoded(model, ROWS), [0, 1], model.tokenizer.pad_token_id)
    trunk = model.net.auto.get_submodule(model.family.trunk)
    with torch.no_grad():
        first, second = (trunk(**batch.inputs).last_hidden_state for _ in range(2))
    assert torch.equal(first, second)


def test_all_moves_means_all_dropout(tiny_bases: TinyBases) -> None:
    assert all(modes(made(tiny_bases, "bert", "full")).values())
    embedded = modes(made(tiny_bases, "bert", {"name": "layers", "top": 1, "embeddings": True}))
    assert all(embedded.values()), "what stands above moving embeddings is not frozen: its dropout stays"


@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_zero_makes_training_mode_answer_as_evaluation_mode(family: str, tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, family)
    model.net.eval()
    calm = answer(model, [0, 1, 2])
    model.net.train()
    noisy = answer(model, [0, 1, 2])
    assert np.abs(noisy - calm).max() > 1e-3, "the tiny base has dropout"
    override_dropout(model.net, 0.0)
    assert np.abs(answer(model, [0, 1, 2]) - calm).max() <= 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_override_acts_in_training_only(family: str, tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, family)
    override_dropout(model.net, 0.0)
    model.net.train()
    assert np.array_equal(answer(model, [0]), answer(model, [0]))
    override_dropout(model.net, 0.6)
    assert not np.array_equal(answer(model, [0]), answer(model, [0]))
    model.net.eval()
    assert np.array_equal(answer(model, [0]), answer(model, [0]))


def test_counts_are_those_of_torch(tiny_bases: TinyBases) -> None:
    net = made(tiny_bases, "bert", "head").net
    assert count(net) == {
        "trainable": sum(p.numel() for p in net.parameters() if p.requires_grad),
        "total": sum(p.numel() for p in net.parameters()),
    }
    assert set(trainable(net)) == {n for n, p in net.named_parameters() if p.requires_grad}


def test_the_side_path_starts_at_zero_and_equals_concatenation(tiny_bases: TinyBases) -> None:
    rows = small.records(hours=[str(i) for i in range(len(ROWS))])
    task = {"name": "classify", "side_columns": ["hours"], "side": "vector"}
    model = small.model(small.plan(tiny_bases["bert"], task=task), rows)
    model.net.eval()
    whole = small.encoded(model, rows)
    assert model.net.side is not None and whole.side is not None
    before = model.outputs(whole)
    plain = small.model(small.plan(tiny_bases["bert"]), rows)
    assert np.array_equal(before, plain.outputs(small.encoded(plain, rows)))
    with torch.no_grad():
        model.net.side.weight.copy_(torch.tensor([[1.0], [-2.0], [0.5]]))
    assert np.allclose(model.outputs(whole), before + whole.side @ np.array([[1.0, -2.0, 0.5]]), atol=1e-6)


def test_the_methods_own_dropout_is_left_alone(tiny_bases: TinyBases) -> None:
    """`train.dropout` is of the base; `method.dropout` of LoRA is another setting."""
    from torch import nn

    from tunesmith.bases.family import family_of
    from tunesmith.bases.find import find
    from tunesmith.bases.load import load_net
    from tunesmith.engine.network import override_dropout
    from tunesmith.methods import METHODS

    net = load_net(find(str(tiny_bases["bert"])), num_labels=2)
    net = METHODS.find("lora").model_validate({"name": "lora", "dropout": 0.3}).apply(net, family_of("bert"))
    assert override_dropout(net, 0.0) > 0
    left = {m.p for m in net.modules() if isinstance(m, nn.Dropout)}
    assert left == {0.0, 0.3}

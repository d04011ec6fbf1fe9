"""What handbook code about methods gets wrong (HANDBOOK, part 2): here it is right, or refused with the cause."""

import inspect
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import nn

import kit
import tiny
from tunesmith.bases.family import bare_name, family_of, plain
from tunesmith.engine.network import Network, training_mode
from tunesmith.errors import TunesmithError
from tunesmith.methods import METHODS, Method

BERT = family_of("bert")
SETTINGS: dict[str, dict[str, object]] = {
    "adapter": {"reduction_factor": 4},
    "prompt": {"tokens": 4},
    "ptuning": {"tokens": 4},
    "prefix": {"tokens": 4},
    "mixed": {"parts": ["lora", "bitfit"]},
}
ON_BERT = [n for n in METHODS.names() if n != "expand"]
"""Methods that take an encoder."""


def method(name: str, **settings: object) -> Method:
    return METHODS.find(name).model_validate(SETTINGS.get(name, kit.settings(name, tiny.folder("bert"))) | settings)


def applied(name: str, family: str = "bert", **settings: object) -> nn.Module:
    torch.manual_seed(0)
    return method(name, **settings).apply(tiny.fresh(family), family_of(family))


def logits(net: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    net.eval()
    with torch.no_grad():
        return net(**batch).logits


@pytest.mark.parametrize("name", ON_BERT)
def test_a_new_random_head_trains_under_every_method(name: str) -> None:
    net = applied(name)
    trained = {bare_name(n) for n, p in net.named_parameters() if p.requires_grad and BERT.is_head(n)}
    assert trained == {"bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"}
    before = logits(net, tiny.encode("bert"))
    for name_, parameter in net.named_parameters():
        if parameter.requires_grad and "classifier" in name_:
            parameter.data.add_(1.0)
    assert not torch.equal(logits(net, tiny.encode("bert")), before), "and it is the head that answers"


@pytest.mark.parametrize(
    ("name", "settings"),
    [("layers", {"pattern": "lora"}), ("lora", {"targets": ["q_proj"]}), ("layers", {"pattern": "^encoder"})],
)
def test_a_name_filter_that_matches_no_tensor_is_refused(name: str, settings: dict[str, object]) -> None:
    with pytest.raises(TunesmithError, match="query"):
        applied(name, **settings)


def test_a_base_without_biases_is_refused_by_bitfit() -> None:
    with pytest.raises(TunesmithError, match=r"a llama base has none outside its head\. Use lora, or ia3"):
        applied("bitfit", "llama")


def test_every_method_has_a_rate_of_its_own_order() -> None:
    rates = {name: method(name).auto_rate() for name in METHODS.names()}
    assert len(set(rates.values())) >= 6
    assert rates["prompt"] > 100 * rates["full"]


def test_a_larger_reduction_factor_means_fewer_parameters() -> None:
    def count(factor: int) -> int:
        net = applied("adapter", reduction_factor=factor)
        return sum(p.numel() for n, p in net.named_parameters() if "bottleneck" in n)

    assert count(2) > count(4) > count(16)
    assert count(4) == 4 * (2 * 32 * 8 + 8 + 32)  # Pfeiffer: one of width 32 / 4 in each of 4 blocks


def test_the_adapter_has_a_bias_on_both_sides_and_no_outer_activation() -> None:
    net = applied("adapter", place="houlsby")
    layer = plain(net).bert.encoder.layer[0].output.dense
    up, down = layer.bottleneck_up["default"], layer.bottleneck_down["default"]
    for parameter in (up.weight, up.bias, down.weight, down.bias):
        parameter.data.normal_()
    x = torch.randn(5, 48)
    h = layer.base_layer(x)
    assert torch.allclose(layer(x), h + torch.relu(h @ down.weight.T + down.bias) @ up.weight.T + up.bias, atol=1e-5)
    assert (layer(x) - h).min() < 0, "an outer activation would cut this"


@pytest.mark.parametrize("layer", ["q_proj", "v_proj"])
def test_lora_keeps_w_x_scales_by_alpha_over_r_and_takes_layers_that_are_not_square(layer: str) -> None:
    net = applied("lora", "llama", r=4, alpha=12)
    module = plain(net).model.layers[0].self_attn.get_submodule(layer)
    assert (module.out_features == module.in_features) is (layer == "q_proj")
    module.lora_B["default"].weight.data.normal_()
    x = torch.randn(3, 32)
    update = module.lora_B["default"].weight @ module.lora_A["default"].weight
    assert torch.allclose(module(x), x @ module.base_layer.weight.T + 12 / 4 * x @ update.T, atol=1e-5)


@pytest.mark.parametrize("name", ["lora", "ia3", "adapter"])
def test_modules_are_replaced_once_and_none_inside_another(name: str) -> None:
    net = applied(name)
    wrapped = [path for path, m in plain(net).named_modules() if hasattr(m, "base_layer")]
    assert len(wrapped) == {"lora": 24, "ia3": 12, "adapter": 4}[name]
    assert not any(a != b and b.startswith(a + ".") for a in wrapped for b in wrapped)


@pytest.mark.parametrize("name", [n for n in ON_BERT if n not in ("full", "layers", "bitfit", "gradual", "mixed")])
def test_the_base_is_frozen_to_the_bit_under_weight_decay(name: str) -> None:
    net, reference = applied(name), dict(tiny.fresh("bert").named_parameters())
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=0.1, weight_decay=0.5)
    nn.functional.cross_entropy(net(**tiny.encode("bert")).logits, torch.tensor([0, 1, 2])).backward()
    optimizer.step()
    for path, parameter in plain(net).named_parameters():
        bare = BERT.bare(path)
        if bare in reference and not BERT.is_head(bare):
            assert torch.equal(parameter, reference[bare])


def test_adapters_stand_in_every_block_and_take_the_whole_batch_at_once() -> None:
    net = applied("adapter", place="houlsby")
    hit = {BERT.block_of(n) for n, _ in net.named_parameters() if "bottleneck" in n}
    assert hit == {0, 1, 2, 3}
    calls: list[tuple[int, ...]] = []
    module = plain(net).bert.encoder.layer[0].output.dense
    module.register_forward_hook(lambda _, given, __: calls.append(tuple(given[0].shape)))
    batch = tiny.encode("bert")
    logits(net, batch)
    assert calls == [(3, batch["input_ids"].shape[1], 48)]


@pytest.mark.parametrize("name", ["lora", "adapter", "ia3", "bitfit", "layers", "head", "gradual", "full", "mixed"])
@pytest.mark.parametrize("family", ["bert", "qwen2"])
def test_step_0_is_the_base(name: str, family: str) -> None:
    batch = tiny.encode(family)
    assert torch.equal(logits(applied(name, family), batch), logits(tiny.fresh(family), batch))


@pytest.mark.parametrize("name", ON_BERT)
def test_the_base_is_the_pretrained_one_and_not_random(name: str) -> None:
    stored = load_file(tiny.folder("bert") / "model.safetensors")
    net = plain(applied(name))
    own = {BERT.bare(n): p for n, p in net.named_parameters()}
    for key, tensor in stored.items():
        if not key.startswith("pooler"):
            assert torch.equal(own[f"bert.{key}"], tensor)


@pytest.mark.parametrize("name", ["prompt", "ptuning", "prefix"])
def test_padded_rows_answer_like_rows_alone(name: str) -> None:
    """An attention mask that is not extended by the virtual tokens passes as long as it is all ones."""
    net = applied(name)
    batch = tiny.encode("bert")
    assert batch["attention_mask"].min() == 0
    alone = torch.cat([logits(net, tiny.encode("bert", [text])) for text in tiny.TEXTS])
    assert torch.allclose(logits(net, batch), alone, atol=2e-6)


@pytest.mark.parametrize("name", ["prompt", "ptuning", "prefix"])
def test_labels_fit_the_rows_whatever_the_virtual_tokens(name: str) -> None:
    out = applied(name)(**tiny.encode("bert"), labels=torch.tensor([0, 1, 2]))
    assert out.logits.shape == (3, 3)
    assert torch.isfinite(out.loss)


@pytest.mark.parametrize("name", ["prompt", "ptuning"])
def test_the_pooler_reads_a_cls_and_not_a_random_vector(name: str) -> None:
    net = applied(name)
    seen: list[torch.Tensor] = []
    plain(net).bert.embeddings.register_forward_hook(lambda _, __, out: seen.append(out))
    logits(net, tiny.encode("bert"))
    logits(tiny.fresh("bert"), tiny.encode("bert"))
    at_0 = seen[0][0, 0]
    hook_net = tiny.fresh("bert")
    hook_net.bert.embeddings.register_forward_hook(lambda _, __, out: seen.append(out))
    logits(hook_net, tiny.encode("bert"))
    cosine = nn.functional.cosine_similarity(at_0, seen[-1][0, 0], dim=0)
    assert float(cosine) > 0.95


def test_a_prompt_from_text_needs_the_text() -> None:
    with pytest.raises(TunesmithError, match=r"init text needs a text to start from; set method\.text"):
        applied("prompt", init="text")
    with pytest.raises(ValidationError, match="'random', 'vocab' or 'text'"):
        method("prompt", init="words")


def test_prefix_and_prompt_are_not_the_same() -> None:
    def states(net: nn.Module) -> int:
        lengths: list[int] = []
        plain(net).bert.encoder.layer[3].register_forward_hook(
            lambda _, __, out: lengths.append((out[0] if isinstance(out, tuple) else out).shape[-2])
        )
        logits(net, tiny.encode("bert"))
        return lengths[0]

    tokens = tiny.encode("bert")["input_ids"].shape[1]
    assert states(applied("prompt")) == tokens + 4
    assert states(applied("prefix")) == tokens
    assert applied("prompt").prompt_encoder["default"].embedding.weight.numel() == 4 * 32
    assert applied("prefix").prompt_encoder["default"].embedding.weight.numel() == 2 * 4 * 4 * 32  # 2 L P d


@pytest.mark.parametrize("spec", [{"name": "head"}, {"name": "layers", "top": 1}, {"name": "lora", "top": 1}])
def test_dropout_is_off_in_the_frozen_part_of_the_backbone(spec: dict[str, object]) -> None:
    made = METHODS.find(str(spec["name"])).model_validate(spec)
    net = Network(made.apply(tiny.fresh("bert"), BERT), 0, 3)
    training_mode(net, made, BERT)
    still = made.still(net.auto, BERT)
    assert still >= 3
    seen: list[torch.Tensor] = []
    BERT.block_list(net.auto)[still - 1].register_forward_hook(
        lambda _, __, out: seen.append(out[0] if isinstance(out, tuple) else out)
    )
    for _ in range(2):
        net.auto(**tiny.encode("bert"))
    assert torch.equal(seen[0], seen[1])
    assert net.auto.training


def test_nobody_calls_a_trained_prompt_zero_shot() -> None:
    for name in ("prompt", "ptuning", "prefix"):
        found = METHODS.find(name)
        page = (inspect.getdoc(inspect.getmodule(found)) or "") + found.prefer + (found.__doc__ or "")
        assert "zero-shot" not in page.lower()
        assert any(p.requires_grad for p in applied(name).prompt_encoder.parameters())


def test_nothing_is_pickled(tmp_path: Path) -> None:
    for name in ON_BERT:
        method(name).save(applied(name), tmp_path / name)
    assert {p.suffix for p in tmp_path.rglob("*") if p.is_file()} == {".safetensors", ".json"}

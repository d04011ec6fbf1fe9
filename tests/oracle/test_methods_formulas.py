"""Methods against their papers' formulas, recomputed by hand from the weights."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import tiny
from tunesmith.bases.family import family_of, plain
from tunesmith.methods import METHODS


def applied(family: str, **spec: object) -> nn.Module:
    """The method on a tiny base, with everything trainable moved off its start."""
    made = METHODS.find(str(spec["name"])).model_validate(spec)
    torch.manual_seed(0)
    net = made.apply(tiny.fresh(family), family_of(family))
    for name, parameter in net.named_parameters():
        if parameter.requires_grad and not family_of(family).is_head(name):
            parameter.data.add_(torch.randn_like(parameter), alpha=0.2)
    return net.eval()


def watched(net: nn.Module, family: str, path: str) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    """What goes into and comes out of a module in one forward pass."""
    seen: list[tuple[tuple[torch.Tensor, ...], torch.Tensor]] = []
    hook = plain(net).get_submodule(path).register_forward_hook(lambda _, given, out: seen.append((given, out)))
    with torch.no_grad():
        net(**tiny.encode(family))
    hook.remove()
    return seen[0]


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool((a - b).abs().max() <= 2e-6 * max(1.0, float(b.abs().max())))


@pytest.mark.parametrize(("variant", "scale"), [("lora", 16 / 8), ("rslora", 16 / math.sqrt(8))])
@pytest.mark.parametrize(
    ("family", "layer"),
    [
        ("bert", "bert.encoder.layer.1.output.dense"),
        ("distilbert", "distilbert.transformer.layer.0.ffn.lin1"),
        ("llama", "model.layers.2.self_attn.v_proj"),
    ],
)
def test_lora_adds_scale_times_b_a_x(family: str, layer: str, variant: str, scale: float) -> None:
    net = applied(family, name="lora", variant=variant)
    (x,), y = watched(net, family, layer)
    module = plain(net).get_submodule(layer)
    a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
    assert a.shape == (8, module.in_features)
    assert b.shape == (module.out_features, 8)
    base = F.linear(x, module.base_layer.weight, module.base_layer.bias)
    assert close(base + scale * (x @ a.T @ b.T), y)
    assert torch.equal(module.get_delta_weight("default"), scale * (b @ a))


def test_dora_scales_rows_of_the_summed_weight_to_learnt_lengths() -> None:
    net = applied("bert", name="lora", variant="dora")
    (x,), y = watched(net, "bert", "bert.encoder.layer.0.attention.self.query")
    module = plain(net).get_submodule("bert.encoder.layer.0.attention.self.query")
    a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
    weight = module.base_layer.weight + 2 * (b @ a)
    lengths = module.lora_magnitude_vector["default"].weight
    weight = lengths[:, None] * weight / weight.norm(dim=1, keepdim=True)
    assert close(F.linear(x, weight, module.base_layer.bias), y)


def test_vera_scales_two_shared_random_matrices() -> None:
    net = applied("llama", name="lora", variant="vera")
    for layer in ("self_attn.v_proj", "mlp.down_proj"):
        (x,), y = watched(net, "llama", f"model.layers.1.{layer}")
        module = plain(net).get_submodule(f"model.layers.1.{layer}")
        shared_a, shared_b = module.vera_A["default"], module.vera_B["default"]
        d, b = module.vera_lambda_d["default"], module.vera_lambda_b["default"]
        a_cut, b_cut = shared_a[:, : module.in_features], shared_b[: module.out_features]
        update = b[:, None] * (b_cut @ (d[:, None] * a_cut))
        assert close(F.linear(x, module.base_layer.weight + update), y)
        other = plain(net).get_submodule(f"model.layers.3.{layer}")
        assert other.vera_A["default"].data_ptr() == shared_a.data_ptr()


def test_adalora_scales_singular_triplets() -> None:
    net = applied("bert", name="lora", variant="adalora", r=4)
    (x,), y = watched(net, "bert", "bert.encoder.layer.0.attention.self.query")
    module = plain(net).get_submodule("bert.encoder.layer.0.attention.self.query")
    a, b, e = (module.__getattr__(f"lora_{part}")["default"] for part in "ABE")
    assert len(e) == 6  # 1.5 times the rank aimed at
    update = 16 / 6 * (b @ torch.diag(e.flatten()) @ a)
    base = F.linear(x, module.base_layer.weight, module.base_layer.bias)
    assert (base + x @ update.T - y).abs().max() < 1e-4  # PEFT divides by rank + 1e-5


def test_adalora_penalty_is_the_mean_distance_from_orthonormal() -> None:
    made = METHODS.find("lora").model_validate({"name": "lora", "variant": "adalora", "r": 2, "targets": "qv"})
    net = made.apply(tiny.fresh("bert"), family_of("bert"))
    gaps = []
    for name, p in net.named_parameters():
        if ".lora_A." in name:
            gaps.append((p @ p.T - torch.eye(len(p))).square().sum().sqrt())
        elif ".lora_B." in name:
            gaps.append((p.T @ p - torch.eye(p.shape[1])).square().sum().sqrt())
    extra = made.extra_loss(net)
    assert len(gaps) == 16
    assert extra is not None
    assert torch.isclose(extra, 0.5 * sum(gaps) / len(gaps))


def test_pissa_starts_on_the_largest_singular_vectors() -> None:
    made = METHODS.find("lora").model_validate({"name": "lora", "init": "pissa", "r": 4})
    before = tiny.fresh("bert").bert.encoder.layer[0].attention.self.query.weight
    net = made.apply(tiny.fresh("bert"), family_of("bert"))
    module = plain(net).bert.encoder.layer[0].attention.self.query
    u, s, v = torch.linalg.svd(before.detach())
    top = u[:, :4] @ torch.diag(s[:4]) @ v[:4]
    assert close(module.get_delta_weight("default").detach(), top)
    assert close(module.base_layer.weight.detach() + top, before.detach())


@pytest.mark.parametrize("family", ["bert", "distilbert", "qwen2"])
def test_ia3_scales_keys_values_and_inner_activations(family: str) -> None:
    facts = family_of(family)
    net = applied(family, name="ia3")
    scaled = [path for path, m in plain(net).named_modules() if hasattr(m, "ia3_l")]
    assert len(scaled) == 3 * 4  # key, value and feed-forward of 4 blocks: attention's output is not hit twice
    for layer in (facts.key, facts.value):
        (x,), y = watched(net, family, f"{facts.blocks}.1.{layer}")
        module = plain(net).get_submodule(f"{facts.blocks}.1.{layer}")
        scale = module.ia3_l["default"].flatten()
        assert close(scale * F.linear(x, module.base_layer.weight, module.base_layer.bias), y)
    (x,), y = watched(net, family, f"{facts.blocks}.1.{facts.feed_forward_out}")
    module = plain(net).get_submodule(f"{facts.blocks}.1.{facts.feed_forward_out}")
    scale = module.ia3_l["default"].flatten()
    assert close(F.linear(x * scale, module.base_layer.weight, module.base_layer.bias), y)


def bottleneck(module: nn.Module, u: torch.Tensor) -> torch.Tensor:
    """A(u) by hand."""
    down, up = module.bottleneck_down["default"], module.bottleneck_up["default"]
    return F.linear(torch.relu(F.linear(u, down.weight, down.bias)), up.weight, up.bias)


@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "deberta-v2"])
def test_houlsby_is_norm_of_h_plus_adapter_of_h_plus_x(family: str) -> None:
    net = applied(family, name="adapter", place="houlsby", reduction_factor=4)
    for place in ("attention.output", "output"):
        path = f"{family_of(family).blocks}.1.{place}"
        (inner, x), y = watched(net, family, path)
        module = plain(net).get_submodule(path)
        h = F.linear(inner, module.dense.base_layer.weight, module.dense.base_layer.bias)
        assert close(module.LayerNorm(h + bottleneck(module.dense, h) + x), y)


@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "deberta-v2"])
def test_pfeiffer_is_norm_of_adapter_of_normed_sum_plus_sum(family: str) -> None:
    net = applied(family, name="adapter", place="pfeiffer", reduction_factor=4)
    path = f"{family_of(family).blocks}.1.output"
    (inner, x), y = watched(net, family, path)
    module = plain(net).get_submodule(path)
    norm, h = module.LayerNorm.base_layer, module.dense(inner)
    u = norm(h + x)
    assert close(norm(bottleneck(module.LayerNorm, u) + h + x), y)
    assert not hasattr(
        plain(net).get_submodule(f"{family_of(family).blocks}.1.attention.output.LayerNorm"), "base_layer"
    )


@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "deberta-v2"])
def test_parallel_is_norm_of_h_plus_four_adapters_of_x_plus_x(family: str) -> None:
    net = applied(family, name="adapter", place="parallel", reduction_factor=4)
    path = f"{family_of(family).blocks}.1.output"
    (inner, x), y = watched(net, family, path)
    module = plain(net).get_submodule(path)
    h = module.base_layer.dense(inner)
    assert close(module.base_layer.LayerNorm(h + 4 * bottleneck(module, x) + x), y)


def test_adapters_of_distilbert_follow_the_same_formulas() -> None:
    block = "distilbert.transformer.layer.1"
    net = applied("distilbert", name="adapter", place="pfeiffer", reduction_factor=4)
    (z,), y = watched(net, "distilbert", f"{block}.output_layer_norm")
    norm = plain(net).get_submodule(f"{block}.output_layer_norm")
    assert close(norm.base_layer(bottleneck(norm, norm.base_layer(z)) + z), y)
    net = applied("distilbert", name="adapter", place="parallel", reduction_factor=4)
    (x,), y = watched(net, "distilbert", f"{block}.ffn")
    module = plain(net).get_submodule(f"{block}.ffn")
    assert close(module.base_layer(x) + 4 * bottleneck(module, x), y)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_adapters_of_decoders_act_before_the_sum(family: str) -> None:
    for place, layers in (
        ("houlsby", ("self_attn.o_proj", "mlp.down_proj")),
        ("pfeiffer", ("mlp.down_proj",)),
        ("parallel", ("mlp",)),
    ):
        net = applied(family, name="adapter", place=place, reduction_factor=4)
        assert sum(hasattr(m, "bottleneck_up") for m in net.modules()) == 4 * len(layers)
        for layer in layers:
            (x,), y = watched(net, family, f"model.layers.1.{layer}")
            module = plain(net).get_submodule(f"model.layers.1.{layer}")
            h = module.base_layer(x)
            expected = h + 4 * bottleneck(module, x) if place == "parallel" else h + bottleneck(module, h)
            assert close(expected, y)


def test_prefix_is_learnt_keys_and_values_in_front_with_shifted_positions() -> None:
    net = applied("bert", name="prefix", tokens=3)
    batch = tiny.encode("bert")
    with torch.no_grad():
        logits = net(**batch).logits
        assert close(reference_with_prefix(plain(net), net.prompt_encoder["default"].embedding.weight, batch), logits)


def reference_with_prefix(net: nn.Module, weight: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """BERT by hand. weight (P, L * 2 * H * D): for each block keys, then values."""
    B, T = batch["input_ids"].shape
    P, H, D = len(weight), 4, 8
    prefix = weight.view(P, 4, 2, H, D)
    e = net.bert.embeddings
    x = e.word_embeddings(batch["input_ids"]) + e.position_embeddings(torch.arange(P, P + T))
    x = e.LayerNorm(x + e.token_type_embeddings(batch["token_type_ids"]))
    mask = torch.cat([torch.ones(B, P), batch["attention_mask"]], dim=1)[:, None, None] == 0
    for number, block in enumerate(net.bert.encoder.layer):
        own = block.attention.self
        q, k, v = (f(x).view(B, T, H, D).transpose(1, 2) for f in (own.query, own.key, own.value))
        k0, v0 = (prefix[:, number, i].transpose(0, 1).expand(B, H, P, D) for i in (0, 1))
        k, v = torch.cat([k0, k], dim=2), torch.cat([v0, v], dim=2)
        scores = (q @ k.transpose(-1, -2) / math.sqrt(D)).masked_fill(mask, -torch.inf).softmax(-1)
        mixed = (scores @ v).transpose(1, 2).reshape(B, T, H * D)
        x = block.attention.output.LayerNorm(block.attention.output.dense(mixed) + x)
        x = block.output.LayerNorm(block.output.dense(F.gelu(block.intermediate.dense(x))) + x)
    return net.classifier(torch.tanh(net.bert.pooler.dense(x[:, 0])))


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_prefix_of_grouped_query_models_has_the_width_of_their_keys(family: str) -> None:
    net = applied(family, name="prefix", tokens=3)
    assert net.prompt_encoder["default"].embedding.weight.shape == (3, 4 * 2 * 2 * 8)  # 2 key heads of 8


def test_prompt_is_rows_of_embeddings_in_front() -> None:
    net = applied("bert", name="prompt", tokens=3)
    batch = tiny.encode("bert")
    words = plain(net).bert.embeddings.word_embeddings(batch["input_ids"])
    front = net.prompt_encoder["default"].embedding.weight.expand(len(words), -1, -1)
    ones = torch.ones(len(words), 3, dtype=torch.long)
    with torch.no_grad():
        by_hand = plain(net)(
            inputs_embeds=torch.cat([front, words], dim=1),
            attention_mask=torch.cat([ones, batch["attention_mask"]], dim=1),
            token_type_ids=torch.cat([0 * ones, batch["token_type_ids"]], dim=1),
        ).logits
        assert torch.equal(net(**batch).logits, by_hand)


def test_effective_rank_counts_directions() -> None:
    from tunesmith.methods.lora import effective_rank

    assert effective_rank(torch.zeros(4, 4)) == 0.0
    assert math.isclose(effective_rank(torch.diag(torch.tensor([3.0, 0.0, 0.0]))), 1.0)
    assert math.isclose(effective_rank(torch.diag(torch.tensor([2.0, 2.0, 2.0]))), 3.0, rel_tol=1e-6)

"""Optimizers: AdamW by hand, no decay by module type, rates by group, state that survives bit for bit, the average."""

from typing import Any

import pytest
import torch
from torch import nn

import small
import tiny
from kit import TinyBases
from tunesmith.errors import TunesmithError
from tunesmith.model import Model, weights
from tunesmith.training import optimizer as optimizers
from tunesmith.training.average import Exponential, Mean

ROWS = small.records()
FAMILIES = ("bert", "distilbert", "roberta", "electra", "deberta-v2", "llama", "qwen2")


def model_of(bases: TinyBases, family: str = "bert", method: Any = "full", **train: Any) -> Model:
    return small.model(small.plan(bases[family], method=method, **train), ROWS)


@pytest.mark.parametrize("family", FAMILIES)
def test_norms_and_biases_are_spared_by_what_they_are(family: str) -> None:
    net = tiny.fresh(family)
    spared = optimizers.no_decay(net)
    for path, module in net.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            matrix = isinstance(module, (nn.Linear, nn.Embedding)) and name == "weight" and len(parameter) > 1
            assert (f"{path}.{name}" in spared) == (not matrix), f"{path}.{name} {tuple(parameter.shape)}"
    kinds = {type(m).__name__ for p, m in net.named_modules() if f"{p}.weight" in spared}
    assert kinds & {"LayerNorm", "LlamaRMSNorm", "Qwen2RMSNorm"}


def test_a_norm_by_another_name_is_spared_and_a_lookalike_is_not() -> None:
    class GroupedRMSNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 4))

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.beautify = nn.LayerNorm(4)
            self.batch = nn.BatchNorm1d(4)
            self.root = nn.RMSNorm(4)
            self.grouped = GroupedRMSNorm()
            self.layernorm_projection = nn.Linear(4, 4)
            self.scale = nn.Parameter(torch.ones(4))
            self.magnitude = nn.Parameter(torch.ones(4, 1))

    assert optimizers.no_decay(Odd()) == {
        "beautify.weight", "beautify.bias", "batch.weight", "batch.bias", "root.weight", "grouped.weight",
        "layernorm_projection.bias", "scale", "magnitude",
    }  # fmt: skip


def test_decay_pulls_matrices_and_leaves_norms_alone(tiny_bases: TinyBases) -> None:
    model = model_of(tiny_bases, weight_decay=0.5, lr=0.1)
    groups = optimizers.groups(model, weights(model))
    made = optimizers.make("adamw", groups, 0.9)
    before = {n: p.detach().clone() for n, p in weights(model).items()}
    for parameter in weights(model).values():
        parameter.grad = torch.zeros_like(parameter)
    made.step()
    for name, parameter in weights(model).items():
        matrix = name.endswith("weight") and parameter.ndim == 2
        assert torch.allclose(parameter, before[name] * (0.95 if matrix else 1.0)), name


@pytest.mark.parametrize("method", ("head", "lora", {"name": "layers", "top": 1}, "bitfit"))
def test_frozen_parameters_never_reach_the_optimizer(method: Any, tiny_bases: TinyBases) -> None:
    model = model_of(tiny_bases, method=method)
    given = {n for g in optimizers.groups(model, weights(model)) for n in g["names"]}
    assert given == {n for n, p in model.net.named_parameters() if p.requires_grad}
    assert len(given) < len(dict(model.net.named_parameters()))


def test_the_head_can_have_a_rate_of_its_own(tiny_bases: TinyBases) -> None:
    model = model_of(tiny_bases, lr=0.001, head_lr=0.1)
    for group in optimizers.groups(model, weights(model)):
        for name in group["names"]:
            head = name.removeprefix("auto.").startswith(("classifier", "bert.pooler"))
            assert group["peak"] == group["lr"] == (0.1 if head else 0.001), name


def test_rates_of_lora_plus_reach_their_groups(tiny_bases: TinyBases) -> None:
    model = model_of(tiny_bases, method={"name": "lora", "plus": 16}, lr=0.001)
    rates = {n: g["peak"] for g in optimizers.groups(model, weights(model)) for n in g["names"]}
    assert {round(r, 9) for n, r in rates.items() if "lora_B" in n} == {0.016}
    assert {r for n, r in rates.items() if "lora_A" in n} == {0.001}


def test_adamw_equals_the_formula() -> None:
    rate, decay, beta1, beta2, eps = 0.1, 0.02, 0.9, 0.999, 1e-8
    torch.manual_seed(1)
    parameter = nn.Parameter(torch.randn(5, 3, dtype=torch.float64))
    group = {"params": [parameter], "names": ["w"], "weight_decay": decay, "lr": rate}
    made = optimizers.make("adamw", [group], 0.9)
    value, first, second = parameter.detach().clone(), torch.zeros(5, 3).double(), torch.zeros(5, 3).double()
    for t in range(1, 6):
        gradient = torch.randn(5, 3, dtype=torch.float64)
        parameter.grad = gradient.clone()
        made.step()
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        value = value - rate * decay * value
        value = value - rate * (first / (1 - beta1**t)) / ((second / (1 - beta2**t)).sqrt() + eps)
    assert torch.allclose(parameter.detach(), value, atol=1e-12)


@pytest.mark.parametrize("name", ("adamw", "sgd", "adafactor"))
def test_optimizer_state_comes_back_bit_for_bit(name: str) -> None:
    def fresh() -> tuple[list[nn.Parameter], torch.optim.Optimizer]:
        torch.manual_seed(0)
        parameters = [nn.Parameter(torch.randn(6, 4)), nn.Parameter(torch.randn(4))]
        groups = [
            {"params": [p], "names": [f"p|{i}"], "weight_decay": 0.01, "lr": 0.05} for i, p in enumerate(parameters)
        ]
        return parameters, optimizers.make(name, groups, 0.9)

    def step(parameters: list[nn.Parameter], made: torch.optim.Optimizer, seed: int) -> None:
        torch.manual_seed(seed)
        for p in parameters:
            p.grad = torch.randn_like(p)
        made.step()

    ours, first = fresh()
    for seed in range(1, 4):
        step(ours, first, seed)
    tensors = optimizers.state_tensors(first)
    assert tensors and all(t.device.type == "cpu" for t in tensors.values())
    resumed, second = fresh()
    with torch.no_grad():
        for p, q in zip(resumed, ours, strict=True):
            p.copy_(q)
    optimizers.load_state(second, {k: v.clone() for k, v in tensors.items()})
    for seed in range(4, 7):
        step(ours, first, seed)
        step(resumed, second, seed)
    assert all(torch.equal(p, q) for p, q in zip(ours, resumed, strict=True))
    after = optimizers.state_tensors(first)
    assert all(torch.equal(v, after[k]) for k, v in optimizers.state_tensors(second).items())


@pytest.mark.parametrize(
    ("name", "module", "extra"), [("lion", "pytorch_optimizer", "optim"), ("adamw8bit", "bitsandbytes", "quant")]
)
def test_an_optimizer_of_a_missing_library_names_what_to_install(
    name: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, f"{module}.optim", None)
    group = {"params": [nn.Parameter(torch.ones(2))], "names": ["w"], "lr": 0.1, "weight_decay": 0.0}
    with pytest.raises(TunesmithError, match=rf"train\.optimizer: .*pip install 'tunesmith\[{extra}\]'"):
        optimizers.make(name, [group], 0.9)


def test_the_average_equals_its_formula() -> None:
    parameter = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    moving = {"w": parameter}
    average = Exponential(0.25, moving)
    expected = torch.zeros(3, dtype=torch.float64)
    for t in range(1, 7):
        with torch.no_grad():
            parameter.copy_(torch.randn(3, dtype=torch.float64))
        average.update(moving, t)
        decay = min(0.25, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * parameter.detach()
    assert torch.allclose(average.shadow["w"], expected, atol=1e-14)
    held = parameter.detach().clone()
    with average.in_place(moving):
        assert torch.equal(parameter, average.shadow["w"])
    assert torch.equal(parameter, held), "after looking, training goes on from its own weights"


def test_the_average_survives_a_checkpoint() -> None:
    moving = {"w": nn.Parameter(torch.randn(3))}
    average, other = Exponential(0.9, moving), Exponential(0.9, {"w": nn.Parameter(torch.zeros(3))})
    for step in range(1, 5):
        with torch.no_grad():
            moving["w"].add_(1)
        average.update(moving, step)
    other.load(average.tensors())
    average.update(moving, 5), other.update(moving, 5)
    assert torch.equal(average.shadow["w"], other.shadow["w"])


def test_stochastic_weight_averaging_equals_torch() -> None:
    layer = nn.Linear(3, 2)
    moving = dict(layer.named_parameters())
    ours, theirs = Mean(6, 4, moving), torch.optim.swa_utils.AveragedModel(layer)
    for step in range(1, 17):
        with torch.no_grad():
            layer.weight.add_(torch.randn(2, 3))
        ours.update(moving, step)
        if step in (8, 12, 16):
            theirs.update_parameters(layer)
        assert ours.ready == (step >= 8), "before its share of the run there is no average"
    assert torch.allclose(ours.shadow["weight"], theirs.module.weight, atol=1e-6)


def galore(parameters: list[nn.Parameter], rank: int = 2, every: int = 3) -> torch.optim.Optimizer:
    pytest.importorskip("pytorch_optimizer", reason="the extra [optim] is not installed")
    projected = {"rank": rank, "update_proj_gap": every, "scale": 0.25, "projection_type": "std"}
    groups = [
        {"params": [p], "names": [f"w{i}"], "lr": 0.1, "weight_decay": 0.01} | (projected if p.ndim == 2 else {})
        for i, p in enumerate(parameters)
    ]
    return optimizers.make("galore", groups, 0.9)


@pytest.mark.parametrize("shape", ((4, 9), (9, 4), (5, 5)))
def test_galore_is_adam_in_the_largest_directions_of_the_gradient(shape: tuple[int, int]) -> None:
    """W <- W - lr (0.25 P N), N = Adam's update of R = P'G, P the first singular vectors of G of the last looked-at
    step, on the shorter side (Zhao et al. 2024, algorithm 2); then decoupled decay."""
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(shape))
    made = galore([weight], every=3)
    want = weight.detach().double().clone()
    wide = shape[0] < shape[1]
    first = second = torch.zeros(())
    for step in range(1, 5):
        gradient = torch.randn(shape)
        weight.grad = gradient.clone()
        made.step()
        full = gradient.double()
        if step == 1 or step % 3 == 0:
            u, _, vh = (t.double() for t in torch.linalg.svd(gradient, full_matrices=False))  # the same signs
        low = u[:, :2].T @ full if wide else full @ vh[:2].T
        first, second = 0.9 * first + 0.1 * low, 0.999 * second + 0.001 * low**2
        root = (1 - 0.999**step) ** 0.5
        update = first / (1 - 0.9**step) * root / (second.sqrt() + 1e-8)
        want = want - 0.1 * 0.25 * (u[:, :2] @ update if wide else update @ vh[:2])
        want = want * (1 - 0.1 * 0.01)
        assert torch.allclose(weight.detach().double(), want, atol=1e-5)
    state = made.state[weight]
    assert state["exp_avg"].numel() == 2 * max(shape), "the point of it"


def test_galore_s_state_comes_back_bit_for_bit() -> None:
    def fresh() -> tuple[list[nn.Parameter], torch.optim.Optimizer]:
        torch.manual_seed(0)
        parameters = [nn.Parameter(torch.randn(6, 4)), nn.Parameter(torch.randn(4))]
        return parameters, galore(parameters)

    def step(parameters: list[nn.Parameter], made: torch.optim.Optimizer, seed: int) -> None:
        torch.manual_seed(seed)
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        made.step()

    one, first = fresh()
    for seed in (1, 2):
        step(one, first, seed)
    tensors = optimizers.state_tensors(first)
    two, second = fresh()
    optimizers.load_state(second, {k: v.clone() for k, v in tensors.items()})
    with torch.no_grad():
        for a, b in zip(two, one, strict=True):
            a.copy_(b)
    for seed in (3, 4, 5, 6, 7):
        step(one, first, seed)
        step(two, second, seed)
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_galore_projects_matrices_of_the_blocks_alone(tiny_bases: TinyBases) -> None:
    model = model_of(tiny_bases, optimizer="galore", galore={"rank": 8})
    low = {n for g in optimizers.groups(model, weights(model)) if "rank" in g for n in g["names"]}
    assert low
    assert all(".encoder.layer." in n and n.endswith(".weight") and "LayerNorm" not in n for n in low)
    wide = model_of(tiny_bases, optimizer="galore", galore={"rank": 64})
    with pytest.raises(TunesmithError, match="galore finds no matrix to project: full moves none"):
        optimizers.groups(wide, weights(wide))
    with pytest.raises(TunesmithError, match=r"train\.galore has no effect with train\.optimizer: adamw"):
        model_of(tiny_bases, galore={"rank": 8})

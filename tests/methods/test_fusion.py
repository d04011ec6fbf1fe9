"""Fusion: what it computes, from which runs it takes its parts, and what it refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import journey
import pytest
import torch
from journey import answers, gap
from peft import PeftModel
from torch import nn

import pictures
import tiny
import tunesmith.peft
from kit import adapters
from tunesmith.bases.family import family_of, plain
from tunesmith.bases.find import find
from tunesmith.bases.load import load_net
from tunesmith.errors import TunesmithError
from tunesmith.methods import METHODS
from tunesmith.methods.fusion import Fusion

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
KINDS: dict[str, dict[str, Any]] = {
    "houlsby": {"name": "adapter", "place": "houlsby", "reduction_factor": 4, "activation": "gelu"},
    "pfeiffer": {"name": "adapter", "place": "pfeiffer", "reduction_factor": 4},
    "parallel": {"name": "adapter", "place": "parallel", "reduction_factor": 4},
    "lora": {"name": "lora", "r": 3, "alpha": 5},
    "rslora": {"name": "lora", "variant": "rslora", "r": 4, "targets": "qv"},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("fusion")
    made = {family: tiny.make(family, top / family) for family in ("bert", "llama")}
    return made | {family: pictures.make(family, top / family) for family in ("resnet", "mobilenet_v1", "vit")}


def said(net: nn.Module, folder: Path) -> torch.Tensor:
    if folder.name in pictures.FAMILIES:
        torch.manual_seed(1)
        with torch.no_grad():
            return net.eval()(pixel_values=torch.randn(3, 3, 32, 32)).logits
    return answers(net, tiny.encode(folder.name))


def family_in(folder: Path) -> Any:
    return family_of(folder.name, "image" if folder.name in pictures.FAMILIES else "classify")


def net_of(folder: Path) -> nn.Module:
    found, family = find(str(folder)), family_in(folder)
    torch.manual_seed(0)
    return load_net(found, purpose=family.purpose, family=family, num_labels=2)


def fused(folder: Path, runs: list[str], **settings: Any) -> nn.Module:
    torch.manual_seed(5)
    return Fusion(of=tuple(runs), **settings).apply(net_of(folder), family_in(folder))


PAIRS = [(k, b) for k in KINDS for b in ("bert", "llama")]
PAIRS += [("pfeiffer", b) for b in ("resnet", "mobilenet_v1", "vit")] + [("lora", b) for b in ("resnet", "vit")]


@pytest.mark.parametrize(("kind", "base"), PAIRS)
def test_of_equal_parts_it_starts_as_each_of_them(
    kind: str, base: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    """Against the adapter itself, as PEFT and our layers compute it, wherever it stands."""
    one, two = adapters(folders[base], method=KINDS[kind])
    twin = shutil.copytree(one, tmp_path / "twin")
    alone = PeftModel.from_pretrained(net_of(folders[base]), Path(one) / "model")
    heads = {n: p for n, p in alone.named_parameters() if "modules_to_save" in n}
    together = fused(folders[base], [one, str(twin)])
    with torch.no_grad():
        for name, parameter in together.named_parameters():
            if name in heads:
                parameter.copy_(heads[name])
    expected = said(alone, folders[base])
    assert gap(said(together, folders[base]), expected) <= 1e-5
    other = fused(folders[base], [one, two])
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            if name in heads:
                parameter.copy_(heads[name])
    assert gap(said(other, folders[base]), expected) > 1e-3, "the other part says something else"


@pytest.mark.parametrize(("base", "place"), [("bert", "bert.encoder.layer.1.output.LayerNorm"), ("resnet", "")])
def test_the_attention_is_that_of_the_paper(base: str, place: str, folders: dict[str, Path]) -> None:
    runs = adapters(folders[base])
    net = fused(folders[base], runs)
    layers = {n: m for n, m in plain(net).named_modules() if isinstance(m, tunesmith.peft.FusionLinearLayer)}
    layer: Any = layers[place or next(iter(layers))].eval()
    torch.manual_seed(3)
    for name, parameter in layer.named_parameters():
        if "fusion_" in name:
            parameter.data.normal_(std=0.4)
    if base == "bert":
        state = torch.randn(2, 5, 32)
        rows = state.reshape(-1, 32)
    else:
        state = torch.randn(2, layer.in_features, 3, 4)
        rows = state.movedim(1, -1).reshape(-1, layer.in_features)

    def linear(module: Any, x: torch.Tensor) -> torch.Tensor:
        made = x @ module.weight.flatten(1).T
        return made if module.bias is None else made + module.bias

    parts = layer.fusion_parts["default"]
    z = torch.stack([linear(p.up, torch.relu(linear(p.down, rows))) for p in parts], 1)
    asked = linear(layer.fusion_query["default"], rows)
    shares = (asked[:, None] * linear(layer.fusion_key["default"], z)).sum(-1).softmax(-1)
    expected = (shares.detach()[..., None] * linear(layer.fusion_value["default"], z)).sum(1).detach()
    with torch.no_grad():
        found = layer._fused("default", state, state)
    found = found.reshape(-1, 32) if base == "bert" else found.movedim(1, -1).reshape(-1, layer.in_features)
    assert gap(found, expected) <= 1e-5
    assert torch.allclose(torch.tensor(layer.attended), shares.detach().sum(0), atol=1e-4)


def pull(made: Fusion, net: nn.Module) -> float:
    term = made.extra_loss(net)
    assert term is not None
    return float(term.detach())


def test_attention_and_values_learn_and_parts_do_not(folders: dict[str, Path], tmp_path: Path) -> None:
    runs = adapters(folders["bert"])
    made, batch = Fusion(of=tuple(runs)), tiny.encode("bert")
    net = made.apply(tiny.fresh("bert"), family_of("bert"))
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    assert pull(made, net) == 0.0
    journey.train(made, net, batch, range(1, 6))
    moved = {n for n, p in net.named_parameters() if not torch.equal(p, before[n])}
    kinds = {n.split("fusion_")[1].split(".")[0] for n in moved if "fusion_" in n}
    assert kinds == {"query", "key", "value"} and any("classifier" in n for n in moved)
    gaps = [
        float((p.detach() - torch.eye(32)).square().sum()) for n, p in net.named_parameters() if ".fusion_value." in n
    ]
    assert pull(made, net) == pytest.approx(0.01 * sum(gaps), rel=1e-5)
    end = answers(net, batch)
    made.save(net, tmp_path / "saved")
    back = made.load(tiny.fresh("bert", seed=9), family_of("bert"), tmp_path / "saved")
    assert gap(answers(back, batch), end) <= 1e-6
    opened = PeftModel.from_pretrained(tiny.fresh("bert", seed=8), tmp_path / "saved")
    assert gap(answers(opened, batch), end) <= 1e-6
    with opened.disable_adapter():
        assert gap(answers(opened, batch), answers(tiny.fresh("bert", seed=8), batch)) == 0.0
    light = PeftModel.from_pretrained(tiny.fresh("bert", seed=4), tmp_path / "saved", low_cpu_mem_usage=True)
    assert gap(answers(light, batch), end) <= 1e-6
    (table,) = made.learnt(net, family_of("bert"), None)
    assert table.header == ("place", "one", "two")
    assert all(sum(row[1:]) == pytest.approx(1.0) for row in table.rows)  # type: ignore[arg-type]


def test_weighing_alone_has_no_values(folders: dict[str, Path]) -> None:
    made = Fusion(of=tuple(adapters(folders["bert"])), values=False)
    net = made.apply(net_of(folders["bert"]), family_in(folders["bert"]))
    assert not [n for n, _ in net.named_parameters() if "fusion_value" in n] and made.extra_loss(net) is None


def test_a_base_in_half_precision_is_read(folders: dict[str, Path]) -> None:
    runs = tuple(adapters(folders["llama"]))
    net = Fusion(of=runs).apply(tiny.fresh("llama").to(torch.bfloat16), family_of("llama"))
    assert {p.dtype for n, p in net.named_parameters() if "fusion_query" in n} == {torch.float32}
    assert answers(net, tiny.encode("llama")).isfinite().all()


def test_merging_is_refused_with_the_reason(folders: dict[str, Path]) -> None:
    net = fused(folders["bert"], adapters(folders["bert"]))
    with pytest.raises(TunesmithError, match="method 'fusion' cannot be merged into its base: which adapter counts"):
        Fusion(of=("a", "b")).fold(net)
    with pytest.raises(NotImplementedError, match="weighs its parts anew"):
        net.merge_adapter()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"of": ["a", "a"]}, "a stands twice"), ({"of": ["a", "b"], "start": "c"}, "Remove start"),
        ({"of": ["a", "b"], "values": False, "pull": 0.5}, "Remove pull"),
    ],
)  # fmt: skip
def test_settings_without_sense_are_refused(settings: dict[str, Any], words: str) -> None:
    assert words in str(Fusion.model_validate(settings).objection(None))
    mixed = METHODS.find("mixed").model_validate({"parts": ["bitfit", {"name": "fusion", "of": ["a", "b"]}]})
    assert "remove fusion from parts" in str(mixed.objection(None))


def test_parts_that_do_not_fit_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    base = folders["bert"]
    one, _ = adapters(base)

    def refused(other: str) -> str:
        with pytest.raises(TunesmithError) as caught:
            fused(base, [one, other])
        return str(caught.value)

    assert "stand in other places of the network" in refused(adapters(base, method=KINDS["houlsby"])[0])
    assert "stand in other places of the network" in refused(adapters(base, method=KINDS["lora"])[0])
    assert "stand in other places" in refused(adapters(base, method={**KINDS["pfeiffer"], "top": 2})[0])
    dora = {"name": "lora", "variant": "dora", "r": 2}
    assert "dora rescales the base's weights" in refused(adapters(base, method=dora)[0])
    assert "holds a IA3 adapter" in refused(adapters(base, method={"name": "ia3"})[0])
    assert "saved no adapter" in refused(adapters(base, method={"name": "bitfit"})[0])
    cut = Path(shutil.copytree(one, tmp_path / "cut"))
    config = json.loads((cut / "model" / "adapter_config.json").read_text())
    (cut / "model" / "adapter_config.json").write_text(json.dumps(config | {"reduction": None, "bottleneck_size": 5}))
    assert "has shape (8,), this base and method have (5,)" in refused(str(cut))

"""Quantised bases: what is held, what is computed with it, which methods go with it, and every way back."""

from pathlib import Path
from typing import Any

import pytest
import torch

import small
import tiny
from kit import TinyBases
from tunesmith.bases import quant
from tunesmith.bases.family import family_of
from tunesmith.bases.find import find
from tunesmith.bases.load import load_net
from tunesmith.engine.proof import apart, gradients_of, relative
from tunesmith.errors import TunesmithError
from tunesmith.methods import METHODS
from tunesmith.model import build
from tunesmith.plan_text import make_plan, read_plan

pytest.importorskip("bitsandbytes", reason="the extra [quant] is not installed")
FORMATS = ("nf4", "int8")
METHODS_THAT_GO: dict[str, Any] = {
    "lora": {"name": "lora"},
    "dora": {"name": "lora", "variant": "dora", "r": 4},
    "rslora-top": {"name": "lora", "variant": "rslora", "top": 2},
    "adalora": {"name": "lora", "variant": "adalora", "r": 2},
    "vera": {"name": "lora", "variant": "vera"},
    "ia3": {"name": "ia3"},
    "houlsby": {"name": "adapter", "place": "houlsby", "reduction_factor": 4},
    "parallel": {"name": "adapter", "place": "parallel", "reduction_factor": 4},
    "prompt": {"name": "prompt", "tokens": 4},
    "ptuning": {"name": "ptuning", "tokens": 4, "hidden": 16},
    "prefix": {"name": "prefix", "tokens": 4},
    "mixed": {"name": "mixed", "parts": ["lora", {"name": "prompt", "tokens": 4}]},
    "mixed-adapter": {"name": "mixed", "parts": ["lora", {"name": "adapter", "reduction_factor": 4}]},
}
# transformers 5.23 warns about what PEFT 0.21 reads
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


def loaded(base: Path, kind: Any, **settings: Any) -> Any:
    torch.manual_seed(0)
    return load_net(find(str(base), quant=kind), num_labels=3, **settings).eval()


def logits(net: Any, family: str) -> torch.Tensor:
    net.eval()
    with torch.no_grad():
        return net(**tiny.encode(family)).logits


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("family", ("bert", "qwen2"))
def test_blocks_are_quantised_and_nothing_else(kind: str, family: str, tiny_bases: TinyBases) -> None:
    net, whole = loaded(tiny_bases[family], kind), loaded(tiny_bases[family], None)
    names = family_of(family)
    linears = [m for b in names.block_list(net) for m in b.modules() if isinstance(m, torch.nn.Linear)]
    assert linears
    assert all(quant.is_quantised(m) for m in linears)
    assert sum(quant.is_quantised(m) for m in net.modules()) == len(linears)
    for name, parameter in net.named_parameters():
        if parameter.is_floating_point():
            assert parameter.dtype == torch.float32
            assert torch.equal(parameter, whole.get_parameter(name)) or names.is_head(name)


@pytest.mark.parametrize(("kind", "bound"), (("nf4", 0.304 / 2), ("int8", 0.5 / 127)))
def test_weights_are_the_format_s_nearest(kind: str, bound: float, tiny_bases: TinyBases) -> None:
    """Half of the widest gap between levels: nf4's is 0.304 of the largest weight among 64, int8's 1/127 of the largest
    of a row. The scales of nf4 are rounded, too, by at most 1/127;
    bitsandbytes rounds to int8 in fp16."""
    net, whole = loaded(tiny_bases["llama"], kind), loaded(tiny_bases["llama"], None)
    for path, module in net.named_modules():
        if quant.is_quantised(module):
            weight = whole.get_submodule(path).weight.detach()
            far = (quant.weight_of(module) - weight).abs()
            if kind == "int8":
                assert bool((far <= bound * weight.abs().amax(1, keepdim=True) * 1.15).all())
            else:
                assert float(far.max() / weight.abs().max()) <= bound + 1 / 127
            assert float(far.max()) > 0


@pytest.mark.parametrize("kind", FORMATS)
def test_products_and_their_gradients_are_those_of_the_dequantised_weights(kind: str, tiny_bases: TinyBases) -> None:
    net = loaded(tiny_bases["bert"], kind)
    layer = net.bert.encoder.layer[0].intermediate.dense
    states = torch.randn(2, 5, 32, requires_grad=True)
    want = torch.nn.functional.linear(states, quant.weight_of(layer), layer.bias)
    pull = torch.randn_like(want)
    (wanted,) = torch.autograd.grad(want, states, pull)
    (found,) = torch.autograd.grad(layer(states), states, pull)
    want = want.detach()
    assert relative(want, layer(states).detach()) <= 1e-6
    assert relative(wanted, found) <= 1e-6
    with torch.no_grad():
        assert relative(want, layer(states)) <= 1e-6
        alone = layer(states[:1, :1])
        assert relative(want[:1, :1], alone) <= 1e-6, "one token takes another kernel"


def test_an_answer_does_not_depend_on_the_rows_beside_it(tiny_bases: TinyBases) -> None:
    """bitsandbytes' own int8 product rounds by the largest state of the whole batch where there are outliers."""
    net = loaded(tiny_bases["bert"], "int8")
    batch = tiny.encode("bert", [tiny.TEXTS[0]])
    loud = {k: v.repeat(2, 1) for k, v in batch.items()}
    with torch.no_grad():
        words = net.bert.embeddings.word_embeddings(loud["input_ids"])
        words[1] *= 50
        inputs = {k: v for k, v in loud.items() if k != "input_ids"}
        both = net(inputs_embeds=words, **inputs).logits[0]
        alone = net(**batch).logits[0]
    assert relative(both, alone) <= 1e-6


@pytest.mark.parametrize("kind", FORMATS)
def test_memory_is_what_the_format_promises(kind: str, tiny_bases: TinyBases) -> None:
    net, whole = loaded(tiny_bases["llama"], kind), loaded(tiny_bases["llama"], None)
    found, before = quant.num_bytes(net), quant.num_bytes(whole)
    assert before["quantised"] == before["whole"] == 0
    assert before["held"] == sum(4 * p.numel() for p in whole.parameters())
    assert found["held"] == before["held"] - found["whole"] + found["quantised"]
    assert sum(map(quant.numel, net.parameters())) == sum(p.numel() for p in whole.parameters())
    linears = [m for m in net.modules() if quant.is_quantised(m)]
    weights = found["whole"] // 4
    steps = weights // 2 if kind == "nf4" else weights
    assert steps < found["quantised"] <= steps * 1.2 + 1200 * len(linears), "scales, and a table of 1 kB a layer"


@pytest.mark.parametrize("kind", FORMATS)
def test_a_lora_step_is_that_of_the_dequantised_weights(kind: str, tiny_bases: TinyBases) -> None:
    """Loss and gradients of a packed step, against the same network with whole weights."""
    found = {}
    for name in ("quantised", "whole"):
        rows = small.records()
        plan = small.plan(tiny_bases["llama"], method="lora")
        plan = plan.model_copy(update={"base": plan.base.model_copy(update={"quant": kind})})
        made = small.model(plan, rows)
        if name == "whole":
            quant.whole(made.net.auto)
            assert not any(quant.is_quantised(m) for m in made.net.modules())
        for parameter_name, parameter in made.net.named_parameters():
            if "lora_B" in parameter_name:
                torch.manual_seed(len(parameter_name))
                torch.nn.init.normal_(parameter, std=0.1)
        encoded = small.encoded(made, rows)
        made.shortcuts.prove(encoded, learning=True)
        assert made.shortcuts.way is not made.shortcuts.plain, made.shortcuts.refused
        loss = plan.task.step_loss(made.shortcuts.way, encoded, list(range(len(rows))))
        loss.backward()
        found[name] = loss.detach(), gradients_of(made.net)
    assert relative(found["whole"][0], found["quantised"][0]) <= 1e-4
    assert apart(found["whole"][1], found["quantised"][1]) <= 1e-4


@pytest.mark.parametrize(
    ("spec", "kind"),
    [(s, "nf4") for s in METHODS_THAT_GO] + [(s, "int8") for s in ("lora", "dora", "ia3", "adalora", "mixed-adapter")],
)
def test_methods_learn_on_it_and_come_back_equal(spec: str, kind: Any, tiny_bases: TinyBases, tmp_path: Path) -> None:
    family = "qwen2" if spec in ("lora", "prefix", "houlsby", "ia3") else "bert"
    base, names = tiny_bases[family], family_of(family)
    made = METHODS.find(METHODS_THAT_GO[spec]["name"]).model_validate(METHODS_THAT_GO[spec])
    net = made.apply(loaded(base, kind), names)
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1e-2)
    for step in (1, 2):
        loss = torch.nn.functional.cross_entropy(net.train()(**tiny.encode(family)).logits, torch.tensor([0, 1, 2]))
        loss.backward()
        made.before_step(net, step, 20)
        optimizer.step()
        made.after_step(net, step, 20)
        optimizer.zero_grad()
    moved = {n for n, p in net.named_parameters() if not torch.equal(p, before[n])}
    assert moved
    assert moved <= {n for n, p in net.named_parameters() if p.requires_grad}
    end = logits(net, family)
    made.save(net, tmp_path)
    back = made.load(loaded(base, kind), names, tmp_path)
    assert torch.equal(logits(back, family), end), "the same machine and batch: bits"
    assert all(isinstance(t.caption, str) for t in made.learnt(back, names, tiny.tokenizer(family)))
    if made.can_fold():
        plain = made.fold(back)
        assert type(plain) is type(tiny.fresh(family))
        assert not any(quant.is_quantised(m) for m in plain.modules())
        assert relative(end, logits(plain, family)) <= 1e-5, "folded into the dequantised weights, in float32"
        plain.save_pretrained(tmp_path / "plain")
        again = type(plain).from_pretrained(tmp_path / "plain")
        assert torch.equal(logits(again, family), logits(plain, family))


@pytest.mark.parametrize(
    "method",
    ("full", "head", "layers", "gradual", "bitfit", {"name": "lora", "init": "pissa"},
     {"name": "mixed", "parts": ["bitfit", "lora"]}),
)  # fmt: skip
def test_methods_that_move_the_base_are_refused_before_anything_loads(method: Any) -> None:
    tree = {"task": {"name": "classify", "text": "a", "label": "b"}, "base": {"name": "nowhere", "quant": "nf4"},
            "data": "x.csv", "method": method}  # fmt: skip
    with pytest.raises(TunesmithError, match=r"base: quant: nf4 is for a base that stays as it is.*Use lora"):
        make_plan(tree)
    assert make_plan({**tree, "base": "nowhere"}).base.quant is None


def test_another_format_is_another_base(tiny_bases: TinyBases, tmp_path: Path) -> None:
    name = str(tiny_bases["bert"])
    digests = {find(name, quant=kind).digest for kind in (None, "nf4", "int8")}
    assert len(digests) == 3
    folder = tiny.make("bert", tmp_path / "again")
    config = (folder / "config.json").read_text(encoding="utf-8")
    (folder / "config.json").write_text(config.replace("{", '{"quantization_config": {},', 1), encoding="utf-8")
    with pytest.raises(TunesmithError, match="stored quantised already"):
        find(str(folder), quant="nf4")


def test_without_the_library_the_extra_is_named(tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None)
    with pytest.raises(TunesmithError, match=r"pip install 'tunesmith\[quant\]'"):
        quant.settings("nf4", family_of("bert"))


def test_a_base_with_settings_is_found_beside_the_plan(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    plan = tmp_path / "plan.yaml"
    text = "task: {name: classify, text: a, label: b}\ndata: x.csv\nbase: {name: base, quant: nf4}\n"
    plan.write_text(text, encoding="utf-8")
    assert read_plan(plan).base.name == str(tmp_path / "base")
    assert read_plan(plan).base.quant == "nf4"


def test_building_twice_gives_the_same_network(tiny_bases: TinyBases) -> None:
    rows = small.records()
    plan = small.plan(tiny_bases["bert"], method="lora")
    plan = plan.model_copy(update={"base": plan.base.model_copy(update={"quant": "nf4"})})
    first = small.model(plan, rows)
    second = build(plan, first.facts, first.base, first.tokenizer)
    for (name, a), (_, b) in zip(first.net.named_parameters(), second.net.named_parameters(), strict=True):
        assert torch.equal(a, b), name

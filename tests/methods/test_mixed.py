"""Mixed: what may be stacked, that each part keeps its rate, and that the stack comes back."""

from pathlib import Path

import journey
import pytest
import torch
from journey import answers, gap
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import nn

import tiny
from tunesmith.bases.family import family_of, plain
from tunesmith.errors import TunesmithError
from tunesmith.methods.mixed import Mixed

BERT = family_of("bert")


def mixed(*parts: object) -> Mixed:
    return Mixed.model_validate({"parts": list(parts)})


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (["full", "lora"], "full already moves every weight"),
        (["lora", "head"], "every method trains the head"),
        (["gradual", "lora"], "gradual decides epoch by epoch"),
        (["lora", "lora"], "lora stands twice"),
        (["prompt", "prefix"], "prompt and prefix both add virtual tokens"),
        (["lora", "ptuning", "prompt"], "ptuning and prompt both add virtual tokens"),
        ([{"name": "lora", "variant": "vera"}, "ia3"], "lora with variant vera keeps tables"),
        ([{"name": "lora", "init": "pissa"}, "ia3"], "lora with init pissa keeps tables"),
        (["ia3", {"name": "lora", "variant": "dora"}], "must come before ia3; put it first"),
        (["lora", {"name": "prompt", "init": "text"}], "init text needs a text"),
        ([{"name": "lora", "start": "runs/first"}, "bitfit"], "lora cannot start by itself; a whole mix can"),
    ],
)
def test_stacks_that_make_no_sense_are_refused(parts: list[object], words: str) -> None:
    made = mixed(*parts)
    assert words in str(made.objection(None))
    with pytest.raises(TunesmithError, match=words):
        made.apply(tiny.fresh("bert"), BERT)


def test_one_part_or_a_mix_in_a_mix_is_no_mix() -> None:
    with pytest.raises(ValidationError, match="at least 2 items"):
        mixed("lora")
    with pytest.raises(ValidationError, match="does not match any of the expected tags"):
        mixed("lora", "mixed")


def test_each_part_learns_at_its_own_rate_and_the_head_at_the_smallest() -> None:
    made = mixed("lora", {"name": "prompt", "tokens": 4})
    lora, prompt = (part.auto_rate() for part in made.parts)
    assert lora < prompt
    assert made.auto_rate() == lora
    net = made.apply(tiny.fresh("bert"), BERT)
    by_kind: dict[str, set[float]] = {"lora": set(), "prompt": set(), "head": set()}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            kind = "head" if BERT.is_head(name) else "prompt" if "prompt_encoder" in name else "lora"
            by_kind[kind].add(round(made.groups(net).get(name, 1.0) * made.auto_rate(), 9))
    assert by_kind == {"lora": {lora}, "prompt": {prompt}, "head": {lora}}


def test_settings_of_a_part_hold_inside_the_mix() -> None:
    made = mixed({"name": "lora", "plus": 16}, "ia3")
    lora, ia3 = (part.auto_rate() for part in made.parts)
    groups = made.groups(made.apply(tiny.fresh("bert"), BERT))
    assert {round(f, 6) for n, f in groups.items() if ".lora_B." in n} == {16.0}
    assert {round(f, 6) for n, f in groups.items() if ".ia3_l." in n} == {round(ia3 / lora, 6)}


@pytest.mark.parametrize(
    "parts",
    [
        ("lora", "bitfit"),
        ("bitfit", "lora"),
        ("lora", "ia3", "bitfit"),
        ({"name": "layers", "top": 1}, "lora"),
        ({"name": "adapter", "reduction_factor": 4, "place": "houlsby"}, "lora", {"name": "prompt", "tokens": 3}),
        ({"name": "prefix", "tokens": 3}, {"name": "adapter", "reduction_factor": 4}, "bitfit"),
        ({"name": "lora", "variant": "dora"}, "ia3"),
    ],
)
def test_every_part_of_a_stack_learns_and_comes_back(parts: tuple[object, ...], tmp_path: Path) -> None:
    made, batch = mixed(*parts), tiny.encode("bert")
    torch.manual_seed(0)
    net = made.apply(tiny.fresh("bert"), BERT)
    moving = {n: p.detach().clone() for n, p in net.named_parameters() if p.requires_grad}
    journey.train(made, net, batch, range(1, 4))
    still = [n for n, p in moving.items() if torch.equal(p, net.get_parameter(n)) and "bottleneck_down" not in n]
    assert not still
    owned = [p for group in plain(net)._tunesmith["parts"].values() for p in group]
    assert len({id(p) for p in owned}) == len(owned)
    assert {id(p) for p in owned} >= {id(p) for n, p in net.named_parameters() if p.requires_grad}
    made.save(net, tmp_path)
    back = made.load(tiny.fresh("bert", seed=9), BERT, tmp_path)
    end = answers(net, batch)
    assert gap(answers(back, batch), end) <= 1e-6
    if made.can_fold():
        assert gap(answers(made.fold(back), batch), end) <= 1e-5


def test_the_order_of_parts_is_the_order_of_the_formula() -> None:
    def layer(*parts: str) -> nn.Module:
        net = mixed(*parts).apply(tiny.fresh("bert"), BERT)
        return plain(net).bert.encoder.layer[0].attention.self.key

    assert hasattr(layer("lora", "ia3"), "ia3_l")  # l * (W x + B A x)
    assert hasattr(layer("ia3", "lora"), "lora_A")  # l * W x + B A x


def test_a_mix_that_cannot_merge_says_which_part() -> None:
    made = mixed("lora", "adapter")
    assert not made.can_fold()
    with pytest.raises(TunesmithError, match="cannot be merged into its base, because adapter cannot"):
        made.fold(made.apply(tiny.fresh("bert"), BERT))


def test_masks_of_a_sparse_part_are_kept_under_its_name() -> None:
    made = mixed({"name": "layers", "sparse": {"by": "magnitude", "share": 0.1}}, "lora")
    net, base = made.apply(tiny.fresh("bert"), BERT), tiny.fresh("bert").state_dict()
    journey.train(made, net, tiny.encode("bert"), range(1, 4))
    state = made.state(net)
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    mask, weight = state[f"layers/{name}"], plain(net).bert.encoder.layer[0].intermediate.dense.base_layer.weight
    assert torch.equal(weight[~mask], base[name][~mask])
    assert not torch.equal(weight[mask], base[name][mask])
    made.restore(net, state)
    assert made.needs_rows() == 0


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    made = mixed("lora", "ia3")
    with pytest.raises(TunesmithError, match=r"holds no saved mix: mixed\.safetensors is missing"):
        made.load(tiny.fresh("bert"), BERT, tmp_path)
    made.save(made.apply(tiny.fresh("bert"), BERT), tmp_path)
    tensors = load_file(tmp_path / "mixed.safetensors")
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, tmp_path / "mixed.safetensors")
    with pytest.raises(TunesmithError, match="1 missing"):
        made.load(tiny.fresh("bert"), BERT, tmp_path)


def test_lengths_and_tokens_add_up() -> None:
    made = mixed("lora", {"name": "prompt", "tokens": 4})
    assert made.extra_tokens() == 4
    assert made.needs_equal_lengths(family_of("llama"))
    assert not made.needs_equal_lengths(BERT)

"""Scaled positions: what transformers computes when it is configured by hand, saved for it, and limits that follow."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

import small
from kit import TinyBases
from tunesmith.bases.find import find
from tunesmith.bases.load import max_positions
from tunesmith.bases.rope import Rope
from tunesmith.engine.proof import relative
from tunesmith.errors import TunesmithError
from tunesmith.flows import fitted
from tunesmith.model import Model
from tunesmith.plan_text import make_plan

LONG = " ".join(["the pump leaks oil and the pressure drops below the limit"] * 12)
"""More tokens than the 128 that the tiny bases have places for."""


def made(base: Path, kind: str | None, method: str = "full") -> Model:
    rows = small.records([*small.TEXTS[:-1], LONG])
    plan = small.plan(base, method=method, task={"name": "classify", "max_tokens": 256})
    if kind is not None:
        plan = plan.model_copy(update={"base": plan.base.model_copy(update={"rope": Rope(type=kind, factor=2.0)})})
    return small.model(plan, rows)


@pytest.mark.parametrize("kind", ("linear", "yarn"))
@pytest.mark.parametrize("family", ("llama", "qwen2"))
def test_logits_are_those_of_transformers_configured_by_hand(
    kind: str, family: str, tiny_bases: TinyBases, tmp_path: Path
) -> None:
    base = tiny_bases[family]
    model = made(base, kind)
    net: Any = model.net.auto
    by_hand = AutoConfig.from_pretrained(base, num_labels=3)
    by_hand.rope_parameters = {**by_hand.rope_parameters, "rope_type": kind, "factor": 2.0}
    if kind == "yarn":
        by_hand.rope_parameters["original_max_position_embeddings"] = 128
    by_hand.max_position_embeddings = 256
    own = AutoModelForSequenceClassification.from_pretrained(base, config=by_hand).eval()
    own.load_state_dict(net.state_dict())
    ids = torch.tensor([model.tokenizer(LONG)["input_ids"][:250]])
    assert ids.shape[1] > 128
    mask = torch.ones_like(ids)
    with torch.no_grad():
        found = net.eval()(input_ids=ids, attention_mask=mask).logits
        assert torch.equal(found, own(input_ids=ids, attention_mask=mask).logits)
        plain = made(base, None).net.auto.eval()
        plain.load_state_dict(net.state_dict())
        assert relative(found, plain(input_ids=ids, attention_mask=mask).logits) > 1e-4, "it changes something"
    model.plan.method.save(net, tmp_path)
    alone = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert alone.config.max_position_embeddings == 256
    with torch.no_grad():
        assert torch.equal(found, alone(input_ids=ids, attention_mask=mask).logits)


def test_packed_rows_agree_and_more_positions_are_there(tiny_bases: TinyBases) -> None:
    base = tiny_bases["llama"]
    model = made(base, "yarn", "lora")
    assert max_positions(model.base) == 256
    encoded = small.encoded(model, small.records([*small.TEXTS[:-1], LONG]))
    assert int(encoded.lengths.max()) > 128
    model.shortcuts.prove(encoded, learning=True)
    assert model.shortcuts.way is not model.shortcuts.plain, model.shortcuts.refused
    tree = {"task": {"name": "classify", "max_tokens": 200}, "base": str(base), "data": "x.csv"}
    with pytest.raises(TunesmithError, match="more than the 128 places"):
        fitted(make_plan(tree), find(str(base)))
    scaled = make_plan({**tree, "base": {"name": str(base), "rope": {"type": "yarn"}}})
    assert fitted(scaled, scaled.base.found()).task == scaled.task


def test_an_adapter_comes_back_on_the_same_positions(tiny_bases: TinyBases, tmp_path: Path) -> None:
    from tunesmith.model import load, save

    model = made(tiny_bases["qwen2"], "linear", "lora")
    encoded = small.encoded(model, small.records([*small.TEXTS[:-1], LONG]))
    before = model.outputs(encoded)
    save(model, tmp_path)
    back = load(tmp_path)
    assert back.base.rope == Rope(type="linear", factor=2.0)
    assert (back.outputs(encoded) == before).all()


def test_scaled_positions_are_another_base(tiny_bases: TinyBases) -> None:
    name = str(tiny_bases["llama"])
    kinds = (None, Rope(type="linear"), Rope(type="yarn"), Rope(type="yarn", factor=4.0))
    assert len({find(name, rope=rope).digest for rope in kinds}) == 4


def test_what_cannot_be_scaled_is_refused(tiny_bases: TinyBases, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=r"base\.rope: bert has no rotary positions.*llama"):
        find(str(tiny_bases["bert"]), rope=Rope())
    import shutil

    shutil.copytree(tiny_bases["llama"], tmp_path / "scaled")
    config = tmp_path / "scaled" / "config.json"
    text = config.read_text(encoding="utf-8").replace('"rope_type": "default"', '"rope_type": "linear", "factor": 2.0')
    config.write_text(text, encoding="utf-8")
    with pytest.raises(TunesmithError, match=r"scaled already \(linear\)"):
        find(str(tmp_path / "scaled"), rope=Rope())
    tree = {"task": {"name": "classify", "text": "a", "label": "b"}, "data": "x.csv",
            "base": {"name": "x", "rope": {"type": "dynamic", "factor": 2}}}  # fmt: skip
    with pytest.raises(TunesmithError, match="dynamic scales by the longest text seen so far"):
        make_plan(tree)

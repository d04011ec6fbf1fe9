"""Gradient checkpointing: the same bits, dropout included, packed and padded, for less memory, only where needed."""

from typing import Any

import pytest
import tongues
import torch

import small
from kit import TinyBases
from tunesmith.engine import fitting, memory
from tunesmith.engine.checkpointing import switch
from tunesmith.engine.network import training_mode
from tunesmith.engine.proof import gradients_of
from tunesmith.errors import TunesmithError
from tunesmith.plan_text import make_plan

ROWS = list(range(10))


def gradients(made: Any, way: Any, encoded: Any, *, on: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    switch(made.net, made.family, on=on)
    training_mode(made.net, made.plan.method, made.family)
    made.net.zero_grad(set_to_none=True)
    torch.manual_seed(5)
    loss = made.plan.task.step_loss(way, encoded, ROWS)
    loss.backward()
    return loss.detach(), gradients_of(made.net)


def saved(way: Any, encoded: Any) -> int:
    """Bytes that autograd keeps for the losses of all rows."""
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        losses = way.losses(encoded, range(8)).losses_S
    assert losses.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize(
    ("family", "method"),
    (("bert", "full"), ("llama", "full"), ("qwen2", {"name": "lora", "dropout": 0.1}), ("electra", "adapter"),
     ("bert", {"name": "layers", "top": 2}), ("llama", {"name": "prompt", "tokens": 3}), ("distilbert", "lora")),
)  # fmt: skip
@pytest.mark.parametrize("packed", (True, False))
def test_gradients_are_the_same_bits_with_dropout(
    family: str, method: Any, packed: bool, tiny_bases: TinyBases
) -> None:
    rows = small.records()
    method = {"name": "adapter", "reduction_factor": 4} if method == "adapter" else method
    made = small.model(small.plan(tiny_bases[family], method=method), rows)
    encoded = small.encoded(made, rows)
    made.shortcuts.prove(encoded, learning=True)
    assert made.shortcuts.way is not made.shortcuts.plain
    way = made.shortcuts.way if packed else made.shortcuts.plain
    loss, kept = gradients(made, way, encoded, on=False)
    again, computed = gradients(made, way, encoded, on=True)
    assert torch.equal(loss, again)
    assert kept.keys() == computed.keys()
    for name, gradient in kept.items():
        assert torch.equal(gradient, computed[name]), name


@pytest.mark.parametrize("way", (tongues.packed, tongues.plain))
def test_a_language_model_keeps_less_for_the_same_bits(way: Any) -> None:
    net, encoded = tongues.network("llama", "lora"), tongues.mixed(shared=True)
    net.train()
    family = tongues.family_of(net)
    sizes, found = [], []
    for on in (False, True):
        switch(net, family, on=on)
        sizes.append(saved(way(net), encoded))
        found.append(tongues.step(net, way(net), encoded, range(8)))
    assert torch.equal(found[0][0], found[1][0])
    assert all(torch.equal(found[0][1][n], found[1][1][n]) for n in found[0][1])
    assert sizes[1] < 0.6 * sizes[0], "four small blocks: their inputs, the head and the weights themselves stay"
    switch(net, family, on=False)
    assert net.auto.config.use_cache is True


def run(base: Any, monkeypatch: pytest.MonkeyPatch, room: int, **train: Any) -> tuple[list[str], dict[str, Any]]:
    rows = small.records()
    made = small.model(small.plan(base, method="lora", batch=4, **train), rows)
    monkeypatch.setattr(memory, "room", lambda device: room)
    loop = small.loop(made, small.encoded(made, rows))
    state = loop.run()
    assert not made.net.checkpointing, "what answers is as it was"
    assert state.memory["forecast_mb"] > 0
    return made.shortcuts.said, {n: p.detach().clone() for n, p in loop.moving.items()}


def test_auto_turns_it_on_where_the_forecast_does_not_fit_and_changes_no_weight(
    tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, weights = run(tiny_bases["bert"], monkeypatch, 10**10)
    assert not any("checkpointing" in line for line in told)
    assert any(line.startswith("forecast: ") and "10.0 GB here" in line for line in told)
    tight, same = run(tiny_bases["bert"], monkeypatch, 10**5)
    assert any("gradient checkpointing" in line and "would be needed" in line for line in tight)
    assert any("may not fit" in line for line in tight)
    forced, again = run(tiny_bases["bert"], monkeypatch, 10**10, checkpointing="on")
    assert any("gradient checkpointing" in line and "asked for" in line for line in forced)
    off, _ = run(tiny_bases["bert"], monkeypatch, 10**5, checkpointing="off")
    assert not any("gradient checkpointing:" in line for line in off)
    for name, weight in weights.items():
        assert torch.equal(weight, same[name])
        assert torch.equal(weight, again[name])


def test_keys_before_each_row_are_refused() -> None:
    tree = {"task": {"name": "classify", "text": "a", "label": "b"}, "base": "x", "data": "x.csv",
            "train": {"checkpointing": True}}  # fmt: skip
    assert make_plan(tree).train.checkpointing == "on"
    for method in ("prefix", ["lora", "prefix"]):
        with pytest.raises(TunesmithError, match=r"train\.checkpointing: .* puts keys before each row"):
            make_plan({**tree, "method": method})


def test_what_a_group_of_processes_may_have_is_what_is_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    device = torch.device("cpu")
    before = memory.room(device)
    assert before > 0
    monkeypatch.setattr(memory, "GROUP", tmp_path)
    for name, text in (("max", "1000000"), ("current", "400000"), ("stat", "anon 300000\ninactive_file 100000")):
        (tmp_path / f"memory.{name}").write_text(text, encoding="utf-8")
    assert memory.room(device) == 700_000
    (tmp_path / "memory.max").write_text("max", encoding="utf-8")
    assert memory.room(device) > 10**6
    assert fitting.FILL < 1

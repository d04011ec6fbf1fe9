"""NEFTune: how much noise a row gets, where it is the same, and where there is none."""

from pathlib import Path
from typing import Any

import pytest
import tongues
import torch

import small
from kit import TinyBases
from tunesmith.engine import noise
from tunesmith.engine.language import PackedLanguage
from tunesmith.engine.lessons import Levers
from tunesmith.engine.network import Network
from tunesmith.engine.proof import apart, gradients_of, relative
from tunesmith.engine.ways import Packed
from tunesmith.errors import Interrupted
from tunesmith.training.given import Job
from tunesmith.training.loop import Loop

ALPHA = 40.0
ROWS = [0, 1, 2, 3, 4, 5, 6, 7]


def deaf(net: Network) -> Network:
    """Training mode without dropout, noise on."""
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in ("dropout_prob", "attention_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    net.noise = noise.Noise(net.auto, ALPHA)
    net.noise.seed = 11
    return net.train()


def test_noise_is_uniform_within_the_paper_s_bound_by_the_row_s_own_length() -> None:
    net = tongues.network("llama")
    made = noise.Noise(net.auto, 5.0)
    made.seed = 3
    for length in (1, 9, 400):
        row = made.row(7, length)
        largest = 5.0 / (length * 32) ** 0.5
        assert row.shape == (length, 32)
        assert float(row.abs().max()) <= largest
        if length == 400:
            assert float(row.abs().max()) > 0.99 * largest
            assert abs(float(row.mean())) < 5 * largest / (3 * row.numel()) ** 0.5
            assert float(row.var()) == pytest.approx(largest**2 / 3, rel=0.03)
    assert torch.equal(made.row(7, 9), made.row(7, 9))
    assert not torch.equal(made.row(7, 9), made.row(8, 9))
    before = made.row(7, 9)
    made.seed = 4
    assert not torch.equal(made.row(7, 9), before)


def test_drawing_noise_leaves_the_global_generator_alone() -> None:
    made = noise.Noise(tongues.network("llama").auto, 5.0)
    made.seed = 3
    before = torch.get_rng_state()
    made.row(0, 50)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("method", ("full", "lora"))
def test_a_language_model_learns_the_same_from_packed_and_padded_noise(method: str) -> None:
    net, encoded = deaf(tongues.network("qwen2", method)), tongues.mixed(shared=True)
    losses, gradients = tongues.step(net, tongues.packed(net), encoded, ROWS)
    wanted, want = tongues.step(net, tongues.plain(net), encoded, ROWS)
    assert relative(wanted, losses) <= 1e-10
    assert apart(want, gradients) <= 1e-9
    alone, _ = tongues.step(net, tongues.packed(net), encoded, ROWS, each=True)
    assert relative(wanted, alone) <= 1e-10, "cut into other pieces"
    assert net.noise is not None
    net.noise.seed = None
    silent, _ = tongues.step(net, tongues.packed(net), encoded, ROWS)
    assert relative(wanted, silent) > 1e-3


@pytest.mark.parametrize(("family", "method"), (("bert", "full"), ("electra", "lora"), ("bert", "prompt")))
def test_a_classifier_learns_the_same_from_packed_and_padded_noise(
    family: str, method: str, tiny_bases: TinyBases
) -> None:
    rows = small.records()
    settings = {"name": method, "tokens": 4} if method == "prompt" else method
    made = small.model(small.plan(tiny_bases[family], method=settings, neftune=ALPHA), rows)
    encoded = small.encoded(made, rows)
    made.shortcuts.prove(encoded, learning=True)
    way: Any = made.shortcuts.way
    assert isinstance(way, Packed)
    net = deaf(made.net)
    found = []
    for each in (way, made.shortcuts.plain):
        net.zero_grad()
        made.plan.task.step_loss(each, encoded, list(range(len(rows)))).backward()
        found.append((each.logits(encoded, range(len(rows))).detach(), gradients_of(net)))
    assert relative(found[1][0], found[0][0]) <= 1e-5
    assert apart(found[1][1], found[0][1]) <= 1e-5
    net.eval()
    with torch.no_grad():
        assert relative(found[0][0], way.logits(encoded, range(len(rows)))) > 1e-3


def test_there_is_none_at_evaluation() -> None:
    net, encoded = tongues.network("llama", "lora"), tongues.mixed()
    way = tongues.packed(net)
    with torch.no_grad():
        before = way.losses(encoded, ROWS).losses_S
        deaf(net).eval()
        assert torch.equal(way.losses(encoded, ROWS).losses_S, before)
        net.train()
        assert not torch.equal(way.losses(encoded, ROWS).losses_S, before)


def test_nothing_is_shared_or_kept_while_it_draws(tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch) -> None:
    net = deaf(tongues.network("llama"))
    encoded = tongues.lesson([([*tongues.PREFIX, 60, 61], (24,))] * 2, weighted=False)
    way = tongues.packed(net)
    assert isinstance(way, PackedLanguage)
    assert way.levers == Levers()
    losses = way.losses(encoded, [0, 1]).losses_S
    assert losses[0] != losses[1], "equal rows have noise of their own"
    rows = small.records()
    made = small.model(small.plan(tiny_bases["bert"], method="head", neftune=5.0), rows)
    loop = small.loop(made, small.encoded(made, rows))
    loop.run()
    assert any("train.neftune" in line and "trunk cache" in line for line in made.shortcuts.said)
    assert any("NEFTune" in line for line in made.shortcuts.said)
    assert made.net.noise is None


def test_an_interrupted_run_goes_on_to_the_same_bits(tiny_bases: TinyBases, tmp_path: Path) -> None:
    rows = small.records()
    plan = small.plan(tiny_bases["bert"], method="lora", neftune=5.0, epochs=3, batch=4, save_every="1 step")

    def run(folder: Path, stop_at: int | None = None) -> dict[str, torch.Tensor]:
        folder.mkdir(exist_ok=True)
        made = small.model(plan, rows)
        encoded = small.encoded(made, rows)
        job = Job(made, encoded, encoded, lambda _: {plan.best_metric: 0.0}, folder)
        loop = Loop(job)
        if stop_at is not None:
            take = loop._after_step

            def after() -> None:
                job.stop.signal = 15 if loop.state.step == stop_at else None
                take()

            loop._after_step = after  # type: ignore[method-assign]
        loop.run()
        return {n: p.detach().clone() for n, p in loop.moving.items()}

    whole = run(tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", stop_at=4)
    again = run(tmp_path / "cut")
    assert all(torch.equal(whole[n], again[n]) for n in whole)
    other = small.model(plan.model_copy(update={"train": plan.train.model_copy(update={"neftune": None})}), rows)
    small.loop(other, small.encoded(other, rows)).run()
    assert not all(torch.equal(whole[n], p.detach()) for n, p in other.net.named_parameters() if n in whole)

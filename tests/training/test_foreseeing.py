"""What a run will take: forecast, measured, and the error of both; and what is done where memory runs out."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import small
from kit import TinyBases
from tunesmith import flows, job
from tunesmith.bases import load
from tunesmith.bases.load import load_tokenizer
from tunesmith.engine import memory, rates
from tunesmith.engine.network import override_dropout
from tunesmith.errors import TunesmithError
from tunesmith.model import weights
from tunesmith.plan_text import dump_plan, make_plan
from tunesmith.progress import Progress, Stop
from tunesmith.training import ahead
from tunesmith.training.foreseeing import error, record
from tunesmith.training.pace import Pace, spoken
from tunesmith.work import Work

FULL = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"


def test_the_probe_leaves_out_the_first_step_and_speaks_for_all_places() -> None:
    pace = Pace(places=1000, evaluations=2, evaluated=50, before=1.0)
    assert not pace.step(5.0, 10)  # what happens once: 4 seconds
    assert not pace.step(1.0, 10)
    assert not pace.step(2.0, 20)
    assert pace.step(3.0, 30)
    assert pace.forecast == pytest.approx(1.0 + 4.0 + 0.1 * (1000 + 2 * 50))
    assert not pace.step(99.0, 1), "the forecast is not moved by what it is compared with"
    assert [spoken(s) for s in (0.2, 59, 190, 7260)] == ["1 s", "59 s", "3 min 10 s", "2 h 1 min"]
    assert error(11, 10) == 0.1
    assert error(9, 10) == -0.1


def test_a_loop_forecasts_measures_and_remembers(
    tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path))
    rows = small.records()
    made = small.model(small.plan(tiny_bases["bert"], method="lora", batch=1, epochs=2), rows)
    loop = small.loop(made, small.encoded(made, rows))
    state = loop.run()
    assert {"forecast_mb", "peak_mb", "error"} <= set(state.memory)
    assert abs(state.memory["error"]) < 0.25, "a tiny network: nearly all of it was there before"
    assert {"steps", "disk_mb", "seconds_before", "seconds", "cpu_seconds", "error"} <= set(state.forecast)
    assert any(key.startswith("flops") for key in rates.known())
    speed, source = rates.speed(int(made.net.auto.config.hidden_size))
    assert speed > 0
    assert source == "earlier runs here"
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "x").write_bytes(bytes(2**20))
    found = record(state, tmp_path, state.seconds + 3, "classify")
    assert found["disk_mb"]["measured"] >= 1
    assert "seconds" not in found, "what follows training was not known"
    assert record(state, tmp_path, state.seconds + 3, "classify")["seconds"]["forecast"] >= 3
    rates.file().write_text("no json", encoding="utf-8")
    assert rates.known() == {}
    assert rates.speed(384)[1] == "a product of matrices"


def run(base: Path, limit: int | None, monkeypatch: pytest.MonkeyPatch, **train: Any) -> Any:
    """A loop in which forward passes of more tokens than the limit find no memory, on a CPU or on a device."""
    rows = small.records()
    made = small.model(
        small.plan(base, method="full", batch=5, micro_tokens=64, optimizer="sgd", lr=0.1, **train), rows
    )
    override_dropout(made.net, 0.0)
    encoded = small.encoded(made, rows)
    loop = small.loop(made, encoded)
    plain, faults = loop.terms.loss, []

    def loss(way: Any, some: Any, piece: Any) -> Any:
        if limit is not None and int(encoded.ids.lengths_of(piece).sum()) > limit:
            faults.append(torch.OutOfMemoryError("CUDA out of memory") if len(faults) % 2 else RuntimeError(FULL))
            raise faults[-1]
        return plain(way, some, piece)

    monkeypatch.setattr(loop.terms, "loss", loss)
    return loop, loop.run(), {n: p.detach().clone() for n, p in loop.moving.items()}


def test_where_memory_runs_out_a_step_is_taken_again_in_smaller_pieces(
    tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, calm, wanted = run(tiny_bases["bert"], None, monkeypatch)
    loop, state, found = run(tiny_bases["bert"], 40, monkeypatch)
    assert calm.micro_tokens is None
    assert calm.equality == "bits"
    assert state.micro_tokens is not None
    assert state.micro_tokens <= 32
    assert loop.micro_tokens == state.micro_tokens
    assert state.equality == "exact"
    assert state.step == calm.step
    assert any("memory ran out in step 1" in text for text in state.warnings)
    for name, tensor in wanted.items():
        assert torch.allclose(found[name], tensor, atol=1e-5), name


def test_single_rows_that_do_not_fit_are_refused_and_other_faults_are_not_hidden(
    tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TunesmithError, match=r"out of memory in step 1, and .* cannot be cut any smaller"):
        run(tiny_bases["bert"], 0, monkeypatch)
    monkeypatch.setattr(memory, "ran_out", lambda error: False)
    with pytest.raises(RuntimeError, match="can't allocate"):
        run(tiny_bases["bert"], 0, monkeypatch)
    monkeypatch.undo()
    assert memory.ran_out(MemoryError())
    assert not memory.ran_out(RuntimeError("shapes do not match"))
    assert not memory.ran_out(ValueError(FULL))
    assert memory.peak() >= memory.resident() > 0
    assert memory.untouched() >= 0


def seen(base: Path, task: str = "classify", method: Any = "lora", **train: Any) -> tuple[ahead.Ahead, Any]:
    rows = small.records()
    asked = small.plan(base, task=task, method=method, **train)
    made = small.model(asked, rows)
    found = ahead.look_ahead(asked, made.facts, made.base, made.tokenizer, small.encoded(made, rows))
    assert found is not None
    return found, made


def working(plan: Any, made: Any, file: Path) -> Work:
    """As much of a job as decides what fits."""
    prepared: Any = SimpleNamespace(plan=plan, notes=[])
    run: Any = SimpleNamespace(plan=file)
    return Work(run, prepared, made.base, Progress(silent=True), Stop(), 0.0, [])


@pytest.mark.parametrize("method", ("full", "lora", "head", "bitfit", "adapter", "ia3", "prompt", "prefix"))
@pytest.mark.parametrize("family", ("bert", "qwen2"))
def test_a_network_without_weights_counts_what_the_real_one_does(
    family: str, method: str, tiny_bases: TinyBases
) -> None:
    found, made = seen(tiny_bases[family], method=method)
    assert all(p.device.type == "meta" for p in found.model.net.parameters())
    assert found.held.weights == sum(4 * p.numel() for p in made.net.parameters())
    assert found.held.learning == sum(p.numel() for p in weights(made).values())


def test_what_cannot_fit_is_refused_before_anything_is_loaded(
    tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, made = seen(tiny_bases["bert"], method="full")
    monkeypatch.setattr(memory, "room", lambda device: 10**5)
    monkeypatch.setattr(load, "load_net", lambda *args, **more: pytest.fail("weights were loaded"))
    assert not ahead.surely_fits(made.base)
    work = working(found.model.plan, made, Path("none.yaml"))
    known: Any = SimpleNamespace(facts=made.facts, tokenizer=made.tokenizer, encoded={"train": found.train})
    with pytest.raises(TunesmithError, match=r"cannot fit into memory: .*weights .* are free here"):
        job.settle(work, known)


def test_a_batch_that_fits_is_written_into_the_plan_and_found_there_again(
    tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = small.records([" ".join(["pump"] * 30)] * 10)
    asked = small.plan(tiny_bases["bert"], method="full", **{"batch": "auto"})
    assert (asked.train.batch, asked.train.fit) == (32, True)
    made = small.model(asked, rows)
    encoded = small.encoded(made, rows)
    look = lambda: ahead.look_ahead(asked, made.facts, made.base, made.tokenizer, encoded)  # noqa: E731
    wide = look()
    assert wide is not None
    assert ahead.settled(wide).train.micro_tokens == 2048
    between = (wide.of(256).step + wide.of(32).step) / 2 / ahead.FILL
    monkeypatch.setattr(memory, "room", lambda device: int(between))
    tight = look()
    assert tight is not None
    assert ahead.settled(tight).train.micro_tokens == 256
    plan = tmp_path / "plan.yaml"
    work = working(asked, made, plan)
    known: Any = SimpleNamespace(facts=made.facts, tokenizer=made.tokenizer, encoded={"train": encoded})
    job.settle(work, known)
    assert (work.plan.train.micro_tokens, work.plan.train.fit) == (256, False)
    plan.write_text(dump_plan(work.plan.anchored()), encoding="utf-8")
    monkeypatch.setattr(memory, "room", lambda device: 10**12)
    again = working(asked, made, plan)
    job.settle(again, known)
    assert again.plan == work.plan


def test_settings_that_say_two_things_are_refused() -> None:
    tree = {"task": "classify", "base": "x", "data": "x.csv", "train": {"batch": "auto", "micro_tokens": 512}}
    with pytest.raises(TunesmithError, match=r"train\.micro_tokens has no effect with train\.fit"):
        make_plan(tree)


def test_a_plan_is_forecast_without_its_weights(
    tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    lines = [
        f"{text} {i},{label}" for i, (text, label) in enumerate(zip(small.TEXTS * 3, small.LABELS * 3, strict=True))
    ]
    data = tmp_path / "a.csv"
    data.write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    monkeypatch.setattr(load, "load_net", lambda *args, **more: pytest.fail("weights were loaded"))
    plan = small.plan(tiny_bases["bert"], method="lora").model_copy(
        update={"data": make_plan({"task": "classify", "base": "x", "data": str(data)}).data}
    )
    found = flows.forecast(plan)
    assert found["fits"]
    assert found["memory_mb"] > found["memory"]["weights"] > 0
    assert min(found["seconds"], found["disk_mb"], found["steps"], found["learning"]) > 0
    assert found["said"].count(",") == 2
    monkeypatch.setattr(job, "LOOKED_AT", 5)
    assert flows.forecast(plan)["steps"] == found["steps"], "some rows stand for all"
    assert load_tokenizer(plan.base.found())

"""Memory of an accelerator is journalled, and a warning comes once, before it is full."""

from types import SimpleNamespace

import pytest
import torch

import small
from kit import TinyBases
from tunesmith.engine import memory

GPU = torch.device("cuda")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """A pretended device of 1,000 MB whose peak can be set."""
    state = {"peak": 500.0}
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 100 * 2**20)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: int(state["peak"] * 2**20))
    properties = SimpleNamespace(total_memory=1000 * 2**20)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    return state


def test_what_is_held_is_told_in_megabytes(gpu: dict[str, float]) -> None:
    assert memory.held(GPU) == {"memory_mb": 100.0, "memory_peak_mb": 500.0}
    assert memory.held(torch.device("cpu")) == {}


def test_the_warning_comes_near_the_limit_and_names_a_cure_that_changes_nothing(gpu: dict[str, float]) -> None:
    assert memory.warning(GPU, 900.0) is None
    assert "train.micro_tokens (the result stays the same)" in str(memory.warning(GPU, 930.0))


def test_a_run_warns_once(gpu: dict[str, float], tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small.model(small.plan(tiny_bases["bert"], batch=2, log_every="1 steps"), small.records())
    loop = small.loop(model, small.encoded(model, small.records()))
    real, gpu["peak"] = memory.held, 950.0
    monkeypatch.setattr(memory, "held", lambda device: real(GPU))
    state = loop.run()
    assert sum("MB of the device" in w for w in state.warnings) == 1

"""On a GPU the shortcuts agree with the library, too, and a run writes down what it holds (`make test-gpu`)."""

from pathlib import Path
from typing import Any

import pytest
import tongues
import torch

import jobs
import small
from kit import TinyBases
from tunesmith.engine import language_proof, trunk_cache
from tunesmith.engine.language import PackedLanguage
from tunesmith.engine.lessons import Levers
from tunesmith.engine.proof import TOLERANCE, disagreement
from tunesmith.engine.ways import Packed
from tunesmith.progress import Progress

DEVICE = torch.device("cuda")
ROWS = small.records()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is at hand")]


def made(bases: TinyBases, family: str, method: Any) -> Any:
    model = small.model(small.plan(bases[family], method=method), ROWS)
    model.net.to(DEVICE)
    return model


@pytest.mark.parametrize("method", ("full", "lora"))
@pytest.mark.parametrize("family", ("bert", "distilbert", "roberta", "electra", "llama", "qwen2", "phi", "gpt2"))
def test_packed_rows_give_the_librarys_logits_loss_and_gradients(
    family: str, method: str, tiny_bases: TinyBases
) -> None:
    model = made(tiny_bases, family, method)
    encoded, shortcuts = small.encoded(model, ROWS), model.shortcuts
    shortcuts.prove(encoded, learning=True)
    assert isinstance(shortcuts.way, Packed), shortcuts.refused
    assert not shortcuts.refused
    losses = model.plan.task.losses
    assert disagreement(model.net, shortcuts.plain, shortcuts.way, encoded, losses) <= TOLERANCE


@pytest.mark.parametrize("method", ("full", "lora", "top"))
@pytest.mark.parametrize("family", ("llama", "qwen2", "gpt2"))
def test_every_lever_of_a_language_model_agrees(family: str, method: str) -> None:
    net = tongues.network(family, method).float().to(DEVICE)
    plain, rows = tongues.plain(net), tongues.mixed(shared=True)
    chosen = language_proof.choose(plain, tongues.family_of(net), Levers(), rows)
    assert isinstance(chosen.way, PackedLanguage)
    assert not chosen.refused


def test_the_trunk_cache_gives_the_logits_of_no_cache(
    tiny_bases: TinyBases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path))
    model = made(tiny_bases, "bert", {"name": "layers", "top": 1})
    encoded = small.encoded(model, ROWS)
    wanted = model.outputs(encoded)
    model.shortcuts.prove(encoded, learning=True)
    model.shortcuts.cache({"train": encoded}, Progress(silent=True))
    assert trunk_cache.kept_caches()
    assert abs(model.outputs(encoded) - wanted).max() <= TOLERANCE * max(1.0, abs(wanted).max())


def test_a_run_in_bf16_learns_and_its_journal_has_live_and_peak_memory(tiny_bases: TinyBases, tmp_path: Path) -> None:
    data = jobs.write_tickets(tmp_path / "tickets.csv")
    reply = jobs.run_job(jobs.tree(tiny_bases["bert"], data, tmp_path / "run"))
    assert reply["status"] == "done"
    steps = [line for line in jobs.history(tmp_path / "run") if line["kind"] == "step"]
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert all(0 < line["memory_mb"] <= line["memory_peak_mb"] for line in steps)

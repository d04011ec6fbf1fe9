"""Clips and their labels: the loss is the library's, what is cut and resampled is told, nothing is lost in silence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sounds
from tunesmith.data.table import read
from tunesmith.errors import TunesmithError
from tunesmith.plan_text import make_plan
from tunesmith.prepare import prepare


def plan(folder: Path, **more: Any) -> Any:
    return make_plan({"task": "audio", "base": "any", "data": str(folder), **more})


@pytest.mark.parametrize("family", ("wav2vec2", "audio-spectrogram-transformer"))
def test_loss_and_logits_are_the_librarys(family: str, tmp_path: Path) -> None:
    from tunesmith.bases.find import find
    from tunesmith.model import build, facts_for

    folder = sounds.tones(tmp_path / "tones", each=4, lengths=(0.1,))
    prepared = prepare(plan(folder, data={"train": str(folder), "validation": 0.2, "test": None},
                            base=str(sounds.make(family, tmp_path / "base"))))  # fmt: skip
    task, found, rows = prepared.plan.task, find(prepared.plan.base.name), prepared.splits["train"]
    processor = task.processor(found)
    model = build(prepared.plan, facts_for(prepared.plan, rows, prepared.roles, found, processor), found, processor)
    encoded = model.encode(rows, prepared.roles)
    model.net.eval()
    way, every = model.shortcuts.way, list(range(len(rows)))
    with torch.inference_mode():
        ours = model.plan.task.step_loss(way, encoded, every) / model.plan.task.weigh(encoded, every)
        theirs = model.net.auto(encoded.waves.padded(every), labels=torch.from_numpy(encoded.targets))
    assert float(ours) == pytest.approx(float(theirs.loss), rel=1e-6)
    assert np.allclose(model.outputs(encoded), theirs.logits.numpy(), atol=1e-6)


def test_what_is_resampled_and_cut_is_told(tmp_path: Path) -> None:
    from tunesmith.bases.find import find

    rng = np.random.default_rng(0)
    for name, rate in (("a", 8000), ("b", sounds.RATE)):
        sounds.write(tmp_path / "t" / name / "1.wav", sounds.tone(200, 1.0, rng, rate), rate)
    made = plan(tmp_path / "t", task={"name": "audio", "seconds": 0.4})
    task = made.task.resolved(read(tmp_path / "t"))
    from tunesmith.data.ledger import Ledger
    from tunesmith.prepare import run_steps

    ledger = Ledger()
    records = run_steps(made, "every_row", ledger.add(read(tmp_path / "t")), task.roles(), ledger)
    base = find(str(sounds.make("wav2vec2", tmp_path / "base")))
    encoded = task.encode(records, task.roles(), task.processor(base), task.study(records, task.roles()))
    assert encoded.notes == (
        "1 clips of 8000 Hz resampled to 2000 Hz",
        "2 clips cut at 0.4 s, 1.2 s in all (task.seconds)",
    )
    assert encoded.waves.lengths.tolist() == [800, 800] and encoded.ids.lengths.tolist() == [39, 39]
    assert (encoded.lost > 50).all()


def test_damaged_clips_stop_or_leave_with_their_reason(tmp_path: Path) -> None:
    folder = sounds.tones(tmp_path / "tones", each=8)
    (folder / "low" / "bad.wav").write_bytes((folder / "low" / "000.wav").read_bytes()[:100])
    with pytest.raises(TunesmithError, match=r"row 17: .*bad.wav: the sound is damaged"):
        prepare(plan(folder))
    prepared = prepare(plan(folder, steps=[{"name": "sounds", "on_bad": "drop"}, "dedup"]))
    assert sum(map(len, prepared.splits.values())) == 24
    assert prepared.ledger.counts()["dropped"] == 1


def test_one_recording_twice_is_one_row(tmp_path: Path) -> None:
    folder = sounds.tones(tmp_path / "tones", each=8)
    (folder / "low" / "again.wav").write_bytes((folder / "low" / "000.wav").read_bytes())
    assert sum(map(len, prepare(plan(folder)).splits.values())) == 24


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"steps": ["dedup"]}, r"sounds are opened by the step sounds. Write steps: \[sounds, dedup\]"),
        ({"task": {"name": "audio", "pool": "mean"}}, "pool: mean is for texts"),
        ({"task": "classify", "steps": ["sounds"]}, "sounds opens recordings, and this task reads none"),
        ({"train": {"checkpointing": "on"}}, "checkpointing: on is for bases that read text"),
        ({"base": {"name": "any", "layers": 2}}, "base.layers is for bases that read text"),
    ],
)
def test_settings_for_texts_are_refused(more: dict[str, Any], why: str) -> None:
    with pytest.raises(TunesmithError, match=why):
        make_plan({"task": "audio", "base": "any", "data": "tones", **more})


def test_too_short_a_clip_is_named(tmp_path: Path) -> None:
    from tunesmith.bases.find import find

    for name in ("a", "b"):
        sounds.write(tmp_path / "t" / name / "1.wav", np.ones(20) * 0.1)
    made = plan(tmp_path / "t")
    table = read(tmp_path / "t")
    task = made.task.resolved(table)
    from tunesmith.data.ledger import Ledger
    from tunesmith.prepare import run_steps

    ledger = Ledger()
    records = run_steps(made, "every_row", ledger.add(table), task.roles(), ledger)
    base = find(str(sounds.make("wav2vec2", tmp_path / "base")))
    with pytest.raises(TunesmithError, match=r"row 1: .*1.wav: 0.010 s are too short"):
        task.encode(records, task.roles(), task.processor(base), task.study(records, task.roles()))

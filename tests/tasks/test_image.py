"""The task image: columns, rows, refusals; augmentation that is the same again, and told where it may break labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import pictures
from tunesmith.data.format import Format
from tunesmith.data.pixels import Pixels
from tunesmith.data.record import DIGEST
from tunesmith.data.table import read
from tunesmith.errors import TunesmithError
from tunesmith.plan import Plan
from tunesmith.plan_text import make_plan
from tunesmith.prepare import prepare
from tunesmith.tasks import TASKS, _augment


def plan(data: Path | dict[str, str], **more: Any) -> Plan:
    return make_plan({"task": "image", "base": "unused", "data": data if isinstance(data, dict) else str(data), **more})


def table_of(folder: Path, rows: Sequence[tuple[str, str]]) -> Path:
    lines = "".join(f"{image},{label}\n" for image, label in rows)
    (folder / "rows.csv").write_text(f"path,label\n{lines}", encoding="utf-8")
    return folder / "rows.csv"


def test_paths_of_a_table_count_from_its_folder(tmp_path: Path) -> None:
    pictures.shapes(tmp_path, each=4)
    rows = [(f"{kind}/{n:03}.png", kind) for kind in pictures.CLASSES for n in range(4)]
    prepared = prepare(plan(table_of(tmp_path, rows)))
    assert prepared.plan.task.image == "path" and prepared.plan.task.label == "label"  # type: ignore[attr-defined]
    first = prepared.splits["train"][0].cells
    assert Path(str(first["path"])).is_absolute() and len(str(first[DIGEST])) == 32


def test_one_picture_under_two_names_is_a_duplicate(tmp_path: Path) -> None:
    folder = pictures.shapes(tmp_path / "data", each=6)
    Image.open(folder / "disc" / "000.png").save(folder / "disc" / "again.bmp")
    ledger = prepare(plan(folder)).ledger
    assert ledger.counts()["duplicate"] == 1


def test_a_picture_on_both_sides_leaves_train(tmp_path: Path) -> None:
    train, test = pictures.shapes(tmp_path / "train", each=6), pictures.shapes(tmp_path / "test", each=2, seed=9)
    Image.open(train / "disc" / "000.png").save(test / "disc" / "same.png")
    prepared = prepare(plan({"train": str(train), "test": str(test)}))
    assert any("left" in note for note in prepared.notes)


def test_a_broken_picture_stops_with_its_place_or_is_accounted_for(tmp_path: Path) -> None:
    folder = pictures.shapes(tmp_path / "data", each=6)
    (folder / "disc" / "003.png").write_bytes(b"no png")
    with pytest.raises(TunesmithError, match=r"disc/003.png: no image that can be read.*on_bad: drop"):
        prepare(plan(folder))
    ledger = prepare(plan(folder, steps=[{"name": "pictures", "on_bad": "drop"}, "dedup"])).ledger
    assert ledger.counts()["dropped"] == 1
    assert any("no image that can be read" in reason for reason in ledger.summary()["reasons"])


def test_what_was_done_to_pictures_is_in_the_ledger(tmp_path: Path) -> None:
    folder = pictures.shapes(tmp_path / "data", each=6)
    Image.open(folder / "disc" / "001.png").convert("L").save(folder / "disc" / "001.png")
    assert prepare(plan(folder)).ledger.changes["pictures"] == {"grey made RGB": 1}


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"steps": ["dedup"]}, "opened by the step pictures"),
        ({"base": {"name": "x", "layers": 2}}, "base.layers is for bases that read text"),
        ({"base": {"name": "x", "quant": "nf4"}}, "base.quant"),
        ({"train": {"neftune": 5.0}}, "train.neftune is for bases that read text"),
        ({"train": {"checkpointing": "on"}}, "checkpointing"),
        ({"train": {"batch_norm": "moving"}}, "lora saves what it added"),
        ({"task": {"name": "image", "augment": ["mixup", "cutmix"]}}, "Choose one"),
        (
            {"task": {"name": "image", "augment": ["flip", "mixup"]}, "method": "full", "penalties": ["rdrop"]},
            "gives images two",
        ),
        ({"task": {"name": "image", "pool": "mean"}}, "pool: mean"),
        ({"task": {"name": "classify"}, "steps": ["pictures"]}, "this task reads none"),
        ({"task": {"name": "classify"}, "train": {"batch_norm": "moving"}}, "it has no batch norms"),
    ],
)
def test_rules_between_parts(more: dict[str, Any], why: str) -> None:
    with pytest.raises(TunesmithError, match=why):
        make_plan({"task": "image", "base": "x", "data": "y", **more})


def test_addresses_are_not_followed(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="is an address"):
        prepare(plan(table_of(tmp_path, [("http://127.0.0.1/a.png", "a")] * 4)))


def test_a_column_of_paths_that_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("one,two\na1.png,5\nb2.png,6\n")
    with pytest.raises(TunesmithError, match="which column holds paths of images"):
        TASKS.make("image").resolved(read(tmp_path / "rows.csv", Format(header=True)))


# augmentation

PIXELS = Pixels(
    np.random.default_rng(0).integers(0, 256, (6, 3, 32, 32), dtype=np.uint8), np.full(3, 1 / 255, np.float32),
    np.zeros(3, np.float32),
)  # fmt: skip


@pytest.mark.parametrize("name", list(_augment.WAYS))
def test_the_same_seed_and_row_are_shown_alike(name: _augment.Name) -> None:
    before = torch.get_rng_state()
    first, mix = _augment.shown(PIXELS, [3, 1, 4], [name], 123)
    again, _ = _augment.shown(PIXELS, [3, 1, 4], [name], 123)
    assert first.changed_NCHW is not None and again.changed_NCHW is not None
    assert torch.equal(first.changed_NCHW, again.changed_NCHW)
    assert torch.equal(torch.get_rng_state(), before), "the generator of the step is untouched"
    assert float(first.changed_NCHW.min()) >= 0 and float(first.changed_NCHW.max()) <= 1
    seeds = [_augment.shown(PIXELS, [3, 1, 4], [name], s)[0].values([3, 1, 4]) for s in range(8)]
    assert any(not torch.allclose(s, seeds[0]) for s in seeds), "another step is shown otherwise"
    if mix is None:
        alone, _ = _augment.shown(PIXELS, [4], [name], 123)
        assert torch.equal(alone.values([4]), first.values([4])), "a row does not depend on its neighbours"


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixed_images_have_both_labels_by_their_shares(name: _augment.Name) -> None:
    task: Any = TASKS.make("image")
    rows = [0, 1, 2, 3]
    _, mix = _augment.shown(PIXELS, rows, [name], 5)
    assert mix is not None and float(mix.share_B.min()) >= 0.45

    class Logits:
        def logits(self, encoded: Any, rows: Sequence[int]) -> torch.Tensor:
            return torch.eye(4)[list(rows)] * 2.0

    from dataclasses import dataclass

    @dataclass
    class Data:
        mix: Any

        def aims(self, rows: Sequence[int], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.tensor(list(rows)), torch.ones(len(rows))

    whole = task.step_loss(Logits(), Data(mix), rows)
    logits, by_hand = torch.eye(4) * 2.0, torch.tensor(0.0)
    for row, partner, share in zip(rows, mix.partner_B, mix.share_B, strict=True):
        said = logits[row].log_softmax(0)
        by_hand = by_hand - share * said[row] - (1 - share) * said[partner]
    assert torch.allclose(whole, by_hand)
    parts = task.step_loss(Logits(), Data(mix), [2]) + task.step_loss(Logits(), Data(mix), [0, 3, 1])
    assert torch.allclose(whole, parts), "however the step is cut"


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        ("0 1 2 3 4 5 6 7 8 9", "digits"), ("seven eight nine", "digits"), ("a b c d", "letters"),
        ("turn-left turn-right stop", "sides"), ("向左 向右", "sides"), ("arrow_up arrow_down", "heights"),
        ("red_car blue_car", "colours"),
    ],
)  # fmt: skip
def test_what_labels_speak_of_is_told_by_their_names(labels: str, kind: str) -> None:
    assert kind in _augment.spoken_of(labels.split())


def test_auto_leaves_out_what_may_break_labels_and_says_so() -> None:
    assert _augment.chosen("auto", ["cat", "dog"]) == (_augment.AUTO, [])
    names, told = _augment.chosen("auto", list("0123456789"))
    assert "flip" not in names and "crop" in names and "flip may break labels that speak of digits" in told[0]
    names, told = _augment.chosen(("flip",), list("0123456789"))
    assert names == ("flip",) and "is done as asked" in told[0]

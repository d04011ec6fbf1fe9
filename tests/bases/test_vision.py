"""Families that see: processors are the library's, bit for bit, and a family is refused where it cannot serve."""

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoImageProcessor

import pictures
from kit import SHARED
from tunesmith.bases.family import FAMILIES, family_of
from tunesmith.bases.find import find
from tunesmith.bases.processor import load_processor
from tunesmith.errors import TunesmithError


@pytest.mark.parametrize("family", pictures.FAMILIES)
def test_pixels_are_those_of_the_library(family: str, tmp_path: Path) -> None:
    base = pictures.make(family, tmp_path / family)
    ours, theirs = load_processor(find(str(base))), AutoImageProcessor.from_pretrained(base)
    image = pictures.shape("disc", np.random.default_rng(0), side=71)
    made = ours(image) * ours.scale_C[:, None, None] + ours.shift_C[:, None, None]
    assert np.abs(made - theirs(images=[image], return_tensors="np")["pixel_values"][0]).max() < 1e-5


@pytest.mark.parametrize("family", ["resnet", "mobilenet_v2", "efficientnet"])
def test_another_resolution_is_saved_with_the_model(family: str, tmp_path: Path) -> None:
    ours = load_processor(find(str(pictures.make(family, tmp_path / family))), 48)
    assert ours.shape == (3, 48, 48)
    ours.save_pretrained(tmp_path / "saved")
    image = pictures.shape("square", np.random.default_rng(0), side=90)
    theirs = AutoImageProcessor.from_pretrained(tmp_path / "saved")(images=[image], return_tensors="np")
    made = ours(image) * ours.scale_C[:, None, None] + ours.shift_C[:, None, None]
    assert np.abs(made - theirs["pixel_values"][0]).max() < 1e-5


def test_a_processor_that_leaves_sizes_different_is_refused(tmp_path: Path) -> None:
    base = pictures.make("mobilenet_v2", tmp_path / "base")
    config = json.loads((base / "preprocessor_config.json").read_text())
    (base / "preprocessor_config.json").write_text(json.dumps(config | {"do_center_crop": False}))
    with pytest.raises(TunesmithError, match="different shapes"):
        load_processor(find(str(base)))


def test_a_base_without_a_processor_is_refused(tmp_path: Path) -> None:
    base = pictures.make("vit", tmp_path / "base")
    (base / "preprocessor_config.json").unlink()
    with pytest.raises(TunesmithError, match="has no preprocessor_config.json"):
        load_processor(find(str(base)))


def test_families_are_refused_where_they_cannot_serve() -> None:
    with pytest.raises(TunesmithError, match="bert reads text, and the task gives it images. Families that can: vit"):
        family_of("bert", "image")
    with pytest.raises(TunesmithError, match="resnet sees images, and the task gives it text. Families that can: bert"):
        family_of("resnet")
    with pytest.raises(TunesmithError, match="vit sees images, and the task gives it images and texts. .* can: clip"):
        family_of("vit", "image_text")
    with pytest.raises(TunesmithError, match="siglip makes comparable vectors .*, and the task gives it text. "):
        family_of("siglip")


@pytest.mark.parametrize("family", pictures.FAMILIES)
def test_layers_of_a_row_are_there(family: str, tmp_path: Path) -> None:
    """Every path of a row names a module, and patterns find layers inside the blocks alone."""
    import re

    import transformers

    base = pictures.make(family, tmp_path / family)
    net = transformers.AutoModelForImageClassification.from_pretrained(base)
    row = FAMILIES[family]
    for path in (row.trunk, row.blocks, *row.embeddings, *row.head):
        net.get_submodule(path)
    top = len(row.block_list(net)) - 1
    names = [n for n, _ in net.named_modules()]
    for layer in row.linears:
        hits = [n for n in names if re.fullmatch(row.pattern([layer], range(top + 1)), n)]
        assert hits and all(row.block_of(f"{n}.weight") is not None for n in hits), layer
    assert all(row.block_of(f"{n}.weight") == top for n in names if re.fullmatch(row.pattern(row.linears, [top]), n))


def test_torchvision_is_not_needed_nor_loaded() -> None:
    import sys

    assert "torchvision" not in sys.modules


def test_real_mobilenets_load_with_a_new_head() -> None:
    from tunesmith.bases.load import load_net

    base = SHARED / "models" / "mobilenet_v1_025_imagenet" / "hf"
    if not base.is_dir():
        pytest.skip("the real weights (../shared/models) are not here")
    net = load_net(find(str(base)), purpose="image", num_labels=10)
    assert net.classifier.out_features == 10  # type: ignore[union-attr]

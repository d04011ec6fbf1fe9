"""Where networks look: equal to the closed form where there is one, and warm where the thing is."""

from pathlib import Path

import pytest
import torch

import pictures
from contract.test_methods_image import case
from tunesmith.engine.batches import collate
from tunesmith.engine.looking import grad_cam


def test_pooled_maps_weighed_by_the_head_are_what_is_shown(tmp_path: Path) -> None:
    """With one linear layer on the mean of the maps, Grad-CAM is relu(sum_k w_ck A_k), up to its scale."""
    folder = pictures.shapes(tmp_path / "data", each=2)
    model, records = case("full", pictures.make("resnet", tmp_path / "base"), folder)
    encoded, rows, classes = model.encode(records, model.plan.task.roles()), [0, 3, 5], [0, 2, 1]
    maps = grad_cam(model.net, model.family, encoded, rows, classes)  # type: ignore[arg-type]
    with torch.no_grad():
        states = model.net.auto.resnet(collate(encoded, rows, 0).inputs["pixel_values"]).last_hidden_state
        weights = model.net.auto.classifier[1].weight[classes]
        cam = torch.einsum("bk,bkhw->bhw", weights, states).clamp_min(0)
    assert torch.allclose(maps, cam / cam.amax((1, 2), keepdim=True).clamp_min(1e-12), atol=1e-5)


@pytest.mark.parametrize("family", pictures.FAMILIES)
def test_every_family_has_a_map(family: str, tmp_path: Path) -> None:
    folder = pictures.shapes(tmp_path / "data", each=2)
    model, records = case("head", pictures.make(family, tmp_path / "base"), folder)
    encoded = model.encode(records, model.plan.task.roles())
    maps = grad_cam(model.net, model.family, encoded, [0, 1], [0, 1])  # type: ignore[arg-type]
    assert maps.shape[0] == 2 and maps.shape[1] == maps.shape[2]
    assert float(maps.min()) >= 0 and float(maps.max()) <= 1 and maps.isfinite().all()

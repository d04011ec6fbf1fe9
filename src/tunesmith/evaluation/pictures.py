"""Pictures for the report: right and wrong answers with where the network looked, and what augmentation makes of rows.

They are drawn when a run is judged, because a report is made from the files of its folder alone: `pictures.json` holds
each as a small PNG in text.
"""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from tunesmith.bases.family import VisionFamily
from tunesmith.data import Record
from tunesmith.data.pixels import Pixels
from tunesmith.evaluation.curves import most_confident_errors
from tunesmith.metrics import Answers
from tunesmith.model import Model
from tunesmith.tasks import Encoded, _augment

WRONG, RIGHT, DRAWN, SIDE = 12, 6, 4, 112
"""Wrong and right answers that are shown, training images that are augmented, and pixels a side."""


def drawn(
    model: Model, records: Sequence[Record], encoded: Encoded, train: Encoded, answers: Answers
) -> dict[str, list[dict[str, Any]]]:
    """{answers: [{row, truth, answer, sure, image, map}], augmented: [{how, image}]} for `pictures.json`."""
    assert answers.scores is not None, "classes have probabilities"
    wrong = [int(r) for r in most_confident_errors(answers, WRONG)]
    sure = np.argsort(-answers.scores.max(1), kind="stable")
    right = [int(r) for r in sure if answers.truth[r] == answers.predicted[r]][:RIGHT]
    rows = [*wrong, *right]
    return {"answers": _looked(model, records, encoded, rows, answers), "augmented": _augmented(model, train)}


def _looked(
    model: Model, records: Sequence[Record], encoded: Encoded, rows: list[int], answers: Answers
) -> list[dict[str, Any]]:
    from tunesmith.engine.looking import grad_cam

    if not rows:
        return []
    family, pixels = model.family, encoded.pixels
    assert isinstance(family, VisionFamily), "images are seen"
    assert pixels is not None and answers.scores is not None, "images with probabilities"
    classes = [int(answers.predicted[r]) for r in rows]
    maps, raw, found = grad_cam(model.net, family, encoded, rows, classes).numpy(), pixels.raw(rows).numpy(), []
    for place, row in enumerate(rows):
        truth = int(answers.truth[row])
        found.append(
            {
                "row": str(records[row].cells.get(model.plan.task.roles().shown[0])),
                "truth": answers.labels[truth] if truth >= 0 else "(unknown)", "answer": answers.labels[classes[place]],
                "sure": float(answers.scores[row, classes[place]]), "right": truth == classes[place],
                "image": _png(raw[place]), "map": _png(_laid(raw[place], maps[place])),
            }
        )  # fmt: skip
    return found


def _augmented(model: Model, train: Encoded) -> list[dict[str, Any]]:
    """Some training images, and what each way makes of them alone."""
    pixels, names = train.pixels, model.facts.augment
    if pixels is None or not names:
        return []
    rows = list(range(0, len(train), max(1, len(train) // DRAWN)))[:DRAWN]
    found = [{"how": "as they are", "images": [_png(x) for x in pixels.raw(rows).numpy()]}]
    for name in names:
        changed, _ = _augment.shown(pixels, rows, [name], model.plan.train.seed)
        found.append({"how": f"{name}: {_augment.WAYS[name].what}", "images": [_png(x) for x in _raw(changed)]})
    return found


def _raw(pixels: Pixels) -> np.ndarray[Any, Any]:
    """Normalised values as they look."""
    assert pixels.changed_NCHW is not None, "augmented"
    scale, shift = (v[:, None, None] for v in (pixels.scale_C * 255, pixels.shift_C))
    return np.asarray((pixels.changed_NCHW.numpy() - shift) / scale)


def _laid(raw_CHW: np.ndarray[Any, Any], map_HW: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A map in warm colours over a pale image."""
    from PIL import Image

    heat = Image.fromarray((map_HW * 255).astype(np.uint8)).resize(raw_CHW.shape[:0:-1], Image.Resampling.BILINEAR)
    heat_HW = np.asarray(heat, np.float32) / 255
    grey = 0.35 + 0.5 * raw_CHW.mean(0)
    warm = np.stack([np.minimum(1, 1.6 * heat_HW), np.clip(1.6 * heat_HW - 0.4, 0, 0.9), 0.15 * np.ones_like(heat_HW)])
    weight = 0.75 * heat_HW
    return np.asarray((1 - weight) * grey + weight * warm)


def _png(raw_CHW: np.ndarray[Any, Any]) -> str:
    """An image in [0, 1] as the address of a small PNG that stands in a page."""
    from PIL import Image

    image = Image.fromarray((np.moveaxis(raw_CHW, 0, 2).clip(0, 1) * 255).round().astype(np.uint8))
    image.thumbnail((SIDE, SIDE))
    held = io.BytesIO()
    image.save(held, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(held.getvalue()).decode()

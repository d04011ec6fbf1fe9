"""The losses of images and texts and their gradients equal transformers' own, whole or in pieces."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import towers
from tunesmith.bases.family import plain
from tunesmith.engine.batches import collate
from tunesmith.metrics import METRICS, Answers

EXACT = 1e-6
ROWS = list(range(12))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return towers.captioned(tmp_path_factory.mktemp("captions") / "data", each=2)


def apart(mine: torch.Tensor, theirs: torch.Tensor) -> float:
    mine, theirs = mine.detach(), theirs.detach()
    return float((mine - theirs).abs().max() / theirs.abs().max().clamp_min(1.0))


@pytest.mark.parametrize("family", towers.FAMILIES)
@pytest.mark.parametrize("micro", [100_000, 60])
def test_loss_and_gradients_are_the_library_s(family: str, micro: int, data: Path, tmp_path: Path) -> None:
    """In one piece, and in several, where scale and bias get their gradient from the whole step, too."""
    model, encoded, _ = towers.made(towers.make(family, tmp_path / "base", dropout=0.0), data, file="test.csv")
    net, task, way = model.net.double(), model.plan.task, model.shortcuts.way
    asked = collate(encoded, ROWS, model.tokenizer.pad_token_id).inputs
    theirs = plain(net.auto)(**asked | {"pixel_values": asked["pixel_values"].double()}, return_loss=True).loss
    wanted = dict(zip(_names(net), torch.autograd.grad(theirs, list(net.parameters())), strict=True))
    way.plainly = _in_double(way)
    torch.manual_seed(0)
    faced = task.faced(way, encoded, ROWS, micro)
    pieces = list(way.pieces(faced, ROWS, micro))
    assert (len(pieces) > 1) == (micro < 100) and (faced.pull is not None) == (micro < 100)
    losses = [task.step_loss(way, faced, piece) / task.weigh(encoded, ROWS) for piece in pieces]
    mine: Any = sum(losses[1:], losses[0])
    assert apart(mine, theirs) <= EXACT
    found = dict(zip(_names(net), torch.autograd.grad(mine, list(net.parameters())), strict=True))
    assert {"auto.logit_scale"} <= set(found)
    for name, gradient in wanted.items():
        assert apart(found[name], gradient) <= EXACT, name


def _names(net: torch.nn.Module) -> list[str]:
    return [name for name, _ in net.named_parameters()]


def _in_double(way: Any) -> Any:
    def plainly(encoded: Any, rows: Any) -> torch.Tensor:
        inputs = collate(encoded, rows, way.pad_id).inputs
        base: Any = plain(way.net.auto)
        if encoded.pixels is None:
            return base.get_text_features(**inputs).pooler_output
        return base.get_image_features(inputs["pixel_values"].double()).pooler_output

    return plainly


@pytest.mark.parametrize("family", towers.FAMILIES)
def test_other_captions_of_an_image_are_no_wrong_answers(family: str, tmp_path: Path) -> None:
    """By hand, over rows of which three share an image and some a caption."""
    folder = towers.captioned(tmp_path / "data", each=2, captions=3)
    model, encoded, records = towers.made(towers.make(family, tmp_path / "base", dropout=0.0), folder)
    rows, task, way = list(range(9)), model.plan.task, model.shortcuts.way
    images, texts = ([str(records[r].cells[c]) for r in rows] for c in ("image", "caption"))
    right = {(str(r.cells["image"]), str(r.cells["caption"])) for r in records}
    with torch.no_grad():
        states = task.states(way, encoded, rows).double()
        logits = states[:, 0] @ states[:, 1].T * plain(model.net.auto).logit_scale.double().exp()
        if family == "siglip":
            logits = logits + plain(model.net.auto).logit_bias.double()
        mine = float(task.step_loss(way, encoded, rows))
    total = 0.0
    for r in rows:
        others = [c for c in rows if images[c] != images[r] and texts[c] != texts[r]]
        others = [c for c in others if (images[r], texts[c]) not in right]
        back = [c for c in rows if images[c] != images[r] and texts[c] != texts[r]]
        back = [c for c in back if (images[c], texts[r]) not in right]
        if family == "clip":
            total -= 0.5 * float(logits[r, r] - torch.logsumexp(logits[r, [r, *others]], 0))
            total -= 0.5 * float(logits[r, r] - torch.logsumexp(logits[[r, *back], r], 0))
        else:
            total -= float(torch.nn.functional.logsigmoid(logits[r, r]))
            total -= sum(float(torch.nn.functional.logsigmoid(-logits[r, c])) for c in others)
    assert mine == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("captions", [1, 3])
def test_recalls_are_those_of_plain_numpy(captions: int, tmp_path: Path) -> None:
    folder = towers.captioned(tmp_path / "data", each=2, captions=captions)
    model, encoded, records = towers.made(towers.make("clip", tmp_path / "base"), folder)
    task, pairs = model.plan.task, encoded.paired
    outputs = model.outputs(encoded)
    predicted, scores = task.answer(outputs, model.facts)
    answers = Answers("vectors", task.truth(encoded, model.facts), predicted, scores)
    image, text = model.outputs(pairs.images), model.outputs(pairs.texts)
    score = image @ text.T
    names = list(dict.fromkeys(str(r.cells["pixels"]) for r in records))
    said = list(dict.fromkeys(str(r.cells["caption"]) for r in records))
    right = np.zeros(score.shape, dtype=bool)
    for r in records:
        right[names.index(str(r.cells["pixels"])), said.index(str(r.cells["caption"]))] = True
    own = [said.index(str(r.cells["caption"])) for r in records]
    for name, table, hits, each in (
        ("image_to_text", score, right, range(len(names))), ("text_to_image", score.T, right.T, own),
    ):  # fmt: skip
        place = np.array([1 + np.flatnonzero(hits[q][np.argsort(-table[q], kind="stable")])[0] for q in each])
        for k in (1, 5, 10):
            metric = METRICS.make(f"{name}_recall_at_{k}")
            assert metric.measure(answers, np.ones((1, len(records))))[0] == pytest.approx((place <= k).mean()), k
        metric = METRICS.make(f"{name}_median_rank")
        assert metric.measure(answers, np.ones((1, len(records))))[0] == pytest.approx(np.median(place))
    if captions > 1:
        assert len(names) * 3 == len(records)


def test_medians_of_drawn_rows_are_those_of_rows_repeated() -> None:
    rng = np.random.default_rng(3)
    place = rng.integers(1, 9, 11).astype(float)
    truth = np.column_stack([np.ones(11), np.arange(11)])
    answers = Answers("vectors", truth, place, np.column_stack([place, place]))
    weights = rng.multinomial(11, np.full(11, 1 / 11), 20).astype(float)
    for name in ("image_to_text_median_rank", "text_to_image_median_rank"):
        found = METRICS.make(name).measure(answers, weights)
        wanted = [np.median(np.repeat(place, w.astype(int))) for w in weights]
        assert found == pytest.approx(wanted)

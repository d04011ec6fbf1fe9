"""Losses of embeddings and their gradients equal sentence-transformers' on the same vectors.

Importing it takes ten seconds, so that these tests run under the mark `peers`; formulas are compared always.
"""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from tunesmith.data.ragged import Ragged
from tunesmith.tasks import TASKS, Encoded
from tunesmith.tasks._relations import Relations
from tunesmith.tasks.embed import Embed

ROWS, WIDTH, EXACT = 7, 12, 1e-6


def columns(count: int, seed: int = 0) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(ROWS, WIDTH, generator=draw, dtype=torch.float64) for _ in range(count)]


def ours(made: list[Tensor], scores: Any = None, **settings: Any) -> tuple[Tensor, Tensor]:
    """(mean loss, gradient) from columns of vectors: anchors, positives, negatives."""
    task = TASKS.find("embed").model_validate({"name": "embed", "layout": "pairs", **settings})
    assert isinstance(task, Embed)
    count = len(made)
    states = torch.stack(made, 1).flatten(0, 1).clone().requires_grad_()
    passage = np.arange(ROWS * count)
    passage[::count] = -1
    related = Relations(
        np.arange(ROWS), passage, ROWS * count, np.arange(ROWS) * (ROWS * count) + passage[1::count], None
    )
    targets = np.ones(ROWS, dtype=np.float32) if scores is None else np.array(scores, dtype=np.float32)
    encoded = Encoded(
        Ragged.of([[1]] * ROWS), None, np.zeros(ROWS, dtype=np.int32), targets, None, np.ones(ROWS, dtype=np.float32),
        bounds=np.arange(ROWS + 1) * count, relations=related,
    )  # fmt: skip
    loss = task.whole_loss(states, encoded, range(ROWS)) / ROWS
    (gradient,) = torch.autograd.grad(loss, states)
    return loss.detach(), gradient.reshape(ROWS, count, WIDTH).transpose(0, 1)


def theirs(made: list[Tensor], name: str, scores: Any = None, **settings: Any) -> tuple[Tensor, Tensor]:
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    own = [c.clone().requires_grad_() for c in made]
    labels = torch.zeros(ROWS) if scores is None else torch.tensor(scores, dtype=torch.float32)
    loss = getattr(losses, name)(model=None, **settings).compute_loss_from_embeddings(own, labels)
    gradients = torch.autograd.grad(loss, own)
    return loss.detach(), torch.stack(gradients)


SCORES = [0.0, 0.2, 0.2, 1.0, 0.6, 0.4, 0.9]
LABELS = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0]


def cases() -> list[Any]:
    cosine = "TripletDistanceMetric.COSINE"
    return [
        pytest.param(2, None, {"loss": "in_batch"}, ("MultipleNegativesRankingLoss", {}), id="in_batch"),
        pytest.param(4, None, {"loss": "in_batch", "temperature": 0.2},
                     ("MultipleNegativesRankingLoss", {"scale": 5.0}), id="hard negatives"),
        pytest.param(2, None, {"loss": "in_batch", "symmetric": True},
                     ("MultipleNegativesSymmetricRankingLoss", {}), id="symmetric"),
        pytest.param(3, None, {"loss": "in_batch", "symmetric": True},
                     ("MultipleNegativesSymmetricRankingLoss", {}), id="symmetric with negatives"),
        pytest.param(3, None, {"loss": "triplet", "margin": 0.4},
                     ("TripletLoss", {"distance_metric": cosine, "triplet_margin": 0.4}), id="triplet"),
        pytest.param(2, SCORES, {"loss": "cosent"}, ("CoSENTLoss", {}), id="cosent"),
        pytest.param(2, SCORES, {"loss": "cosine"}, ("CosineSimilarityLoss", {}), id="cosine"),
        pytest.param(2, LABELS, {"loss": "contrastive", "margin": 0.7},
                     ("ContrastiveLoss", {"margin": 0.7}), id="contrastive"),
        pytest.param(2, LABELS, {"loss": "online_contrastive", "margin": 0.7},
                     ("OnlineContrastiveLoss", {"margin": 0.7}), id="online"),
    ]  # fmt: skip


@pytest.mark.peers
@pytest.mark.parametrize(("count", "scores", "settings", "peer"), cases())
def test_losses_equal_sentence_transformers(count: int, scores: Any, settings: Any, peer: Any) -> None:
    made, (name, given) = columns(count), peer
    if given.get("distance_metric"):
        module = pytest.importorskip("sentence_transformers.sentence_transformer.losses.triplet")
        given = given | {"distance_metric": module.TripletDistanceMetric.COSINE}
    loss, gradient = ours(made, scores, **settings)
    other, expected = theirs(made, name, scores, **given)
    if settings["loss"] == "online_contrastive":  # a sum there, too, and a step's loss is divided by its rows here
        other, expected = other / ROWS, expected / ROWS
    assert loss.item() == pytest.approx(other.item(), rel=EXACT)
    assert (gradient - expected).abs().max() <= EXACT


@pytest.mark.peers
def test_matryoshka_equals_sentence_transformers() -> None:
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    made = columns(2)
    loss, gradient = ours(made, loss="in_batch", matryoshka=[12, 8, 4])
    own = torch.cat(made).clone().requires_grad_()

    class Said(torch.nn.Module):
        def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
            return {"sentence_embedding": features["x"]}

        def get_embedding_dimension(self) -> int:
            return WIDTH

    model = Said()
    inner = losses.MultipleNegativesRankingLoss(model)
    theirs_ = losses.MatryoshkaLoss(model, inner, [12, 8, 4])([{"x": own[:ROWS]}, {"x": own[ROWS:]}], torch.zeros(ROWS))
    (expected,) = torch.autograd.grad(theirs_, own)
    assert loss.item() == pytest.approx(theirs_.item(), rel=EXACT)
    assert (gradient.flatten(0, 1) - expected).abs().max() <= EXACT


def test_in_batch_is_the_formula() -> None:
    made = columns(3)
    anchors, positives, wrong = (normalize(c, dim=1) for c in made)
    passages, total = torch.cat([positives, wrong]), 0.0
    for i in range(ROWS):
        near = [math.exp(float(anchors[i] @ p) / 0.05) for p in passages]
        total -= math.log(near[i] / sum(near))
    assert ours(made, loss="in_batch")[0].item() == pytest.approx(total / ROWS, rel=EXACT)


def test_cosent_is_the_formula() -> None:
    made = columns(2)
    near = (normalize(made[0], dim=1) * normalize(made[1], dim=1)).sum(1).tolist()
    terms = [math.exp((near[i] - near[j]) / 0.05) for i in range(ROWS) for j in range(ROWS) if SCORES[i] < SCORES[j]]
    assert ours(made, SCORES, loss="cosent")[0].item() == pytest.approx(math.log(1 + sum(terms)), rel=EXACT)


def test_online_contrastive_keeps_the_hard_pairs_alone() -> None:
    made = columns(2)
    far = (1 - (normalize(made[0], dim=1) * normalize(made[1], dim=1)).sum(1)).numpy()
    alike = np.array(LABELS) == 1
    hard = far[alike & (far > far[~alike].min())], far[~alike & (far < far[alike].max())]
    expected = (hard[0] ** 2).sum() + (np.maximum(0, 0.7 - hard[1]) ** 2).sum()
    loss, _ = ours(made, LABELS, loss="online_contrastive", margin=0.7)
    assert loss.item() == pytest.approx(expected / ROWS, rel=EXACT)

"""The loss of some rows that are compared with each other, and of held-out rows in blocks (`tunesmith.tasks.embed`).

Shape letters: N rows, B rows of a step or a block, S their sequences, C passages among these, H width.
"""

from typing import TYPE_CHECKING

import numpy as np

from tunesmith.errors import TunesmithError
from tunesmith.tasks import Array, Encoded, _embedding

if TYPE_CHECKING:
    from torch import Tensor

    from tunesmith.tasks.embed import Embed

BLOCK = 32
"""Rows in whose company the loss of held-out rows is computed."""


def loss_of(task: "Embed", unit_SH: "Tensor", encoded: Encoded, rows: list[int]) -> "Tensor":
    """Weighted sum of the losses of rows, from the vectors of their sequences, of length 1."""
    import torch

    assert encoded.bounds is not None and encoded.targets is not None
    sizes = np.diff(encoded.bounds)[rows]
    starts = np.cumsum(sizes) - sizes
    weights_B = torch.from_numpy(encoded.weights[rows]).to(unit_SH)
    anchors_BH, positives_BH = unit_SH[starts], unit_SH[starts + 1]
    if task.loss == "in_batch":
        return (_in_batch(task, unit_SH, encoded, rows, starts) * weights_B).sum()
    near_B = (anchors_BH * positives_BH).sum(1)
    if task.loss == "triplet":
        if (sizes < 3).any():
            raise TunesmithError("task.loss: triplet wants a negative in every row. Leave such rows out, or use "
                                 "in_batch")  # fmt: skip
        each = zip(starts.tolist(), sizes.tolist(), strict=True)
        wrong_B = torch.stack([(unit_SH[s + 2 : s + n] @ unit_SH[s]).max() for s, n in each])
        return (_embedding.triplet(near_B, wrong_B, task.margin) * weights_B).sum()
    scores_B = torch.from_numpy(encoded.targets[rows]).to(unit_SH)
    if task.loss == "cosine":
        return ((near_B - scores_B) ** 2 * weights_B).sum()
    if task.loss == "contrastive":
        return (_embedding.contrastive(near_B, scores_B, task.margin) * weights_B).sum()
    if task.loss == "online_contrastive":
        return _embedding.online_contrastive(near_B, scores_B, task.margin)
    return _embedding.cosent(near_B / task.temperature, scores_B) * weights_B.sum()


def _in_batch(task: "Embed", unit_SH: "Tensor", encoded: Encoded, rows: list[int], starts: Array) -> "Tensor":
    import torch

    assert encoded.relations is not None
    related, device = encoded.relations, unit_SH.device
    passages = np.setdiff1d(np.arange(len(unit_SH)), starts)
    own_B = np.searchsorted(passages, starts + 1)
    number_C = related.passage_S[encoded.sequences(rows)][passages]
    hidden_BC = related.right(related.query_N[rows], number_C)
    # the same text twice in a step is one answer, and its own row's is the one that counts
    hidden_BC |= number_C == number_C[own_B][:, None]
    hidden_BC[np.arange(len(rows)), own_B] = False
    logits_BC = unit_SH[starts] @ unit_SH[passages].T / task.temperature
    return _embedding.in_batch(
        logits_BC, torch.from_numpy(own_B).to(device), torch.from_numpy(hidden_BC).to(device),
        symmetric=task.symmetric,
    )  # fmt: skip


def in_blocks(task: "Embed", unit_SH: Array, encoded: Encoded) -> Array:
    """(N,): the loss of the block that each row is in."""
    import torch

    out = np.empty(len(encoded))
    for start in range(0, len(encoded), BLOCK):
        rows = list(range(start, min(start + BLOCK, len(encoded))))
        states = torch.from_numpy(unit_SH[encoded.sequences(rows)])
        out[rows] = float(task.whole_loss(states, encoded, rows)) / task.weigh(encoded, rows)
    return out


def flat(outputs_NC: Array, encoded: Encoded) -> Array:
    """Vectors (S, H) of all sequences from those of rows side by side."""
    assert encoded.bounds is not None
    sizes = np.diff(encoded.bounds)
    table = outputs_NC.reshape(len(encoded), int(sizes.max()), -1)
    return table[np.arange(table.shape[1]) < sizes[:, None]]


def unit(vectors_DH: Array) -> Array:
    """Vectors of length 1."""
    return np.asarray(vectors_DH / np.maximum(np.linalg.norm(vectors_DH, axis=1, keepdims=True), 1e-12))

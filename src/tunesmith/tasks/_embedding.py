"""Losses of sentence embeddings: pure functions of vectors and similarities, as sentence-transformers has them.

Similarity is the cosine. Shape letters: B rows of a step, C passages of a step (positives and negatives of all its
rows), H width. Vectors are of length 1.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Loss = Literal["in_batch", "triplet", "cosent", "cosine", "contrastive", "online_contrastive"]
WHOLE: tuple[Loss, ...] = ("in_batch", "cosent", "online_contrastive")
"""Losses that compare every row of a step with every other; the others are sums over rows."""
OF_SCORES: tuple[Loss, ...] = ("cosent", "cosine", "contrastive", "online_contrastive")
"""Losses of pairs with a score."""


def in_batch(
    logits_BC: "Tensor", own_B: "Tensor", hidden_BC: "Tensor", *, symmetric: bool
) -> "Tensor":  # fmt: skip
    """-ln p(own passage | anchor) of each row, (B,), among all passages of the step but the hidden ones: InfoNCE (van
    den Oord et al. 2018), multiple negatives ranking (Henderson et al. 2017, https://arxiv.org/abs/1705.00652).

    `logits_BC` are similarities over the temperature; `own_B` is where each row's positive stands in C; `hidden_BC`
    marks other passages that are right answers, too. Symmetric: the mean of that and of -ln p(anchor | own passage)
    among all anchors of the step.
    """
    from torch.nn.functional import cross_entropy

    forth_B = cross_entropy(logits_BC.masked_fill(hidden_BC, float("-inf")), own_B, reduction="none")
    if not symmetric:
        return forth_B
    import torch

    rows_B = torch.arange(len(own_B), device=own_B.device)
    back_BB = logits_BC[:, own_B].masked_fill(hidden_BC[:, own_B], float("-inf")).T
    return (forth_B + cross_entropy(back_BB, rows_B, reduction="none")) / 2


def cosent(logits_B: "Tensor", scores_B: "Tensor") -> "Tensor":
    """ln(1 + sum of e^(s_i - s_j) over pairs of rows where i should be less alike than j), a number: CoSENT (Su 2022,
    https://kexue.fm/archives/8847). `logits_B` are similarities over the temperature."""
    import torch

    wrong_BB = logits_B[:, None] - logits_B[None, :]
    wrong = wrong_BB[scores_B[:, None] < scores_B[None, :]]
    return torch.logsumexp(torch.cat([wrong.new_zeros(1), wrong]), 0)


def contrastive(similarity_B: "Tensor", alike_B: "Tensor", margin: float) -> "Tensor":
    """y d^2 / 2 + (1 - y) max(0, margin - d)^2 / 2 of each pair, d = 1 - similarity (Hadsell et al. 2006)."""
    distance_B = 1 - similarity_B
    return (alike_B * distance_B**2 + (1 - alike_B) * (margin - distance_B).relu() ** 2) / 2


def online_contrastive(similarity_B: "Tensor", alike_B: "Tensor", margin: float) -> "Tensor":
    """Sum of d^2 over positive pairs farther apart than the nearest negative one, and of max(0, margin - d)^2 over
    negative pairs nearer than the farthest positive one: a number."""
    distance_B = 1 - similarity_B
    far, near = distance_B[alike_B == 1], distance_B[alike_B == 0]
    hard_far = far[far > (near.min() if len(near) else far.mean())]
    hard_near = near[near < (far.max() if len(far) else near.mean())]
    return (hard_far**2).sum() + ((margin - hard_near).relu() ** 2).sum()


def triplet(positive_B: "Tensor", negative_B: "Tensor", margin: float) -> "Tensor":
    """max(0, d(positive) - d(negative) + margin) of each row, d = 1 - similarity (Schroff et al. 2015)."""
    return (negative_B - positive_B + margin).relu()


def shrunk(states_SH: "Tensor", dims: Sequence[int]) -> "list[Tensor]":
    """The vectors cut to each of some widths, of length 1 (Matryoshka, Kusupati et al. 2022,
    https://arxiv.org/abs/2205.13147); as they are where none is named."""
    from torch.nn.functional import normalize

    return [normalize(states_SH[:, :dim], dim=1) for dim in dims or (states_SH.shape[1],)]

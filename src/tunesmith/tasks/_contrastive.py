"""Losses of images and texts that are compared with each other: pure functions of unit vectors.

Shape letters: B rows of a step, P width of the vectors.
"""

import math
from typing import TYPE_CHECKING, Any

from tunesmith.tasks import _embedding

if TYPE_CHECKING:
    from torch import Tensor

MOST = math.log(100)
"""Largest scale of CLIP, as a logarithm (Radford et al. 2021, section 2.5)."""
BLOCK = 32
"""Rows in whose company the loss of held-out rows is computed."""


def scalars(net: Any) -> "list[Tensor]":
    """The logarithm of the scale, and SigLIP's bias, of a plain or wrapped network."""
    from tunesmith.bases.family import plain

    base: Any = plain(net)
    return [getattr(base, name) for name in ("logit_scale", "logit_bias") if hasattr(base, name)]


def logits(image_BP: "Tensor", text_BP: "Tensor", scale: "Tensor", bias: "Tensor | None" = None) -> "Tensor":
    """(B, B): row r, column c say how well image r and text c go together."""
    found = image_BP @ text_BP.T * scale.exp()
    return found if bias is None else found + bias


def softmax(logits_BB: "Tensor", hidden_BB: "Tensor") -> "Tensor":
    """(B,): of each pair the mean of -ln p(text | image) and -ln p(image | text), hidden others left out."""
    import torch

    own_B = torch.arange(len(logits_BB), device=logits_BB.device)
    return _embedding.in_batch(logits_BB, own_B, hidden_BB, symmetric=True)


def sigmoid(logits_BB: "Tensor", hidden_BB: "Tensor") -> "Tensor":
    """(B,): of each image the sum over texts of -ln sigmoid(+ or - logit), hidden others left out."""
    import torch
    from torch.nn.functional import logsigmoid

    sign_BB = 2 * torch.eye(len(logits_BB), dtype=logits_BB.dtype, device=logits_BB.device) - 1
    return -logsigmoid(sign_BB * logits_BB).masked_fill(hidden_BB, 0.0).sum(1)

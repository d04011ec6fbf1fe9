"""Weighted merges of models tuned from one base, by what each of them changed: its task vector tau = tuned - base.

    linear       base + sum_i w_i tau_i                                  Ilharco et al. 2023, arXiv 2212.04089
    dare_linear  each element of tau_i is dropped with probability 1 - density, what stays is divided by density,
                 then linear                                             Yu et al. 2024, arXiv 2311.03099
    ties         of each tau_i the largest share `density` stays; for each element the sign of sum_i w_i tau_i is
                 elected, and those that have it are averaged by weight, times sum_i w_i
                                                                         Yadav et al. 2023, arXiv 2306.01708
    dare_ties    dropped at random as in dare, then elected and averaged as in ties

The vectors are those of whole weight matrices. PEFT's `add_weighted_adapter` combines the two factors of LoRA one by
one, which is another thing: sums of factors are no factors of a sum (relative error 0.9 on random updates, and 0.0 for
its `cat`, which equals our linear). Ranks of the parts need not be the same here.

Shape letters: P parts, and ... of a weight.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

How = Literal["linear", "ties", "dare_linear", "dare_ties"]
DENSITY = 0.5


def merged(
    name: str, vectors: Sequence[Tensor], weights: Sequence[float], how: How, density: float, seed: int
) -> Tensor:
    """The merged task vector of one weight, float32. What is dropped depends on the seed, the weight's name and the
    place of the part, and on nothing else."""
    if how.startswith("dare"):
        vectors = [_dropped(v, density, (seed, zlib.crc32(name.encode()), i)) for i, v in enumerate(vectors)]
    elif how == "ties":
        vectors = [_trimmed(v, density) for v in vectors]
    stack = torch.stack([v.float() for v in vectors])
    weight = torch.tensor(list(weights), dtype=torch.float32).view(-1, *[1] * (stack.dim() - 1))
    return _elected(stack, weight) if how.endswith("ties") else (stack * weight).sum(0)


def _dropped(vector: Tensor, density: float, key: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
    kept = torch.rand(vector.shape, generator=generator) < density
    return vector * kept / density


def _trimmed(vector: Tensor, density: float) -> Tensor:
    """The largest share of the elements; at least one."""
    size = max(1, round(density * vector.numel()))
    chosen = vector.abs().flatten().topk(size).indices
    kept = torch.zeros(vector.numel(), dtype=torch.bool)
    kept[chosen] = True
    return vector * kept.view(vector.shape)


def _elected(stack: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of the parts that have the elected sign, times the sum of all weights; 0 where none has one."""
    sign = torch.where((stack * weight).sum(0) >= 0, 1.0, -1.0)
    agrees = stack.sign() == sign
    total = (weight * agrees).sum(0)
    return weight.sum() * (stack * weight * agrees).sum(0) / torch.where(total > 0, total, 1.0)


def combine(
    base: Mapping[str, Tensor], parts: Sequence[Mapping[str, Tensor]], weights: Sequence[float], how: How,
    density: float, seed: int,
) -> dict[str, Tensor]:  # fmt: skip
    """Merged weights by name, of those that any part has changed; a part that lacks one has not changed it."""
    names = sorted({name for part in parts for name in part})
    made = {}
    for name in names:
        start = base[name].float()
        vectors = [part[name].float() - start if name in part else torch.zeros_like(start) for part in parts]
        made[name] = start + merged(name, vectors, weights, how, density, seed)
    return made

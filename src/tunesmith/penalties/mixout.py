"""Mixout: in each step some weights are those the base had, drawn anew, like dropout towards the start.

    W' = (M * W_start + (1 - M) * W - share * W_start) / (1 - share)          M: 1 with probability `share`

The step sees W', whose mean is W; gradients reach the weights that were kept, and the optimizer moves W itself. On
matrices of the blocks; biases, norms, embeddings and the head stay as they are.

Lee, Cho & Kang 2020, https://arxiv.org/abs/1909.11299.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tunesmith.errors import TunesmithError
from tunesmith.penalties import Penalty, Start, Term


class Mixout(Penalty):
    """Some weights of each step are those the base had."""

    name: Literal["mixout"] = "mixout"
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability of a weight to be the base's; the paper took 0.7 to 0.9 for very few rows."""

    remembers: ClassVar[bool] = True
    moves: ClassVar[str] = "mixes the base's weights with where they started"
    prefer: ClassVar[str] = "a large base is tuned whole on very few rows and some seeds fail"
    source: ClassVar[str] = "Lee, Cho & Kang 2020, https://arxiv.org/abs/1909.11299"

    def begin(self, at: Start) -> Term:
        return _Mixout(self.share, at)


class _Mixout(Term):
    def __init__(self, share: float, at: Start) -> None:
        self.share = share
        self.mixed = {
            n: p for n, p in at.moving.items() if p.ndim >= 2 and not at.is_head(n) and not at.is_words(n)
        }  # fmt: skip
        if not self.mixed:
            raise TunesmithError("penalties: mixout finds no matrix of the base that moves. Remove it")
        self.start = {n: p.detach().clone() for n, p in self.mixed.items()}

    @contextmanager
    def within(self, seed: int) -> Iterator[None]:
        import torch

        generator = torch.Generator().manual_seed(seed ^ 0x5EED)
        held, kept = {}, {}
        moving = {n: p for n, p in self.mixed.items() if p.requires_grad}
        with torch.no_grad():
            for name, parameter in moving.items():
                start, now = self.start[name], parameter.detach().clone()
                keep = (torch.rand(parameter.shape, generator=generator) >= self.share).to(parameter.device)
                parameter.copy_((torch.where(keep, now, start) - self.share * start) / (1 - self.share))
                held[name], kept[name] = now, keep
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in moving.items():
                    parameter.copy_(held[name])
                    if parameter.grad is not None:
                        parameter.grad.mul_(kept[name]).div_(1 - self.share)

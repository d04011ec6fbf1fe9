"""Averages of the weights, which are evaluated and kept instead of the last ones.

    ema    decay * average + (1 - decay) * weights, after each step
    swa    the plain mean of the weights at the end of each epoch, from a share of the run on

Stochastic weight averaging: Izmailov et al. 2018, https://arxiv.org/abs/1803.05407. Meant for a rate that stays high:
`schedule: constant`, or `cyclic` with a cycle an epoch. Before its share of the run there is no average, and the
weights themselves are judged.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from tunesmith.settings import Train


class Average(ABC):
    """Shadow copies of what moves."""

    def __init__(self, moving: Mapping[str, nn.Parameter]) -> None:
        self.updates = 0
        self.shadow = {n: p.detach().clone() for n, p in moving.items()}

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether there is an average yet."""

    @abstractmethod
    def due(self, step: int) -> bool:
        """Whether the weights after that many steps are taken in."""

    @abstractmethod
    def share(self) -> float:
        """Share of the new weights in the average, at update number `updates`."""

    def update(self, moving: Mapping[str, nn.Parameter], step: int) -> None:
        """Take in the weights after optimizer step `step` (from 1), if they are due."""
        if not self.due(step):
            return
        self.updates += 1
        share = self.share()
        with torch.no_grad():
            for name, parameter in moving.items():
                self.shadow[name].lerp_(parameter, share)

    @contextmanager
    def in_place(self, moving: Mapping[str, nn.Parameter]) -> Iterator[None]:
        """Within the block the network has the averaged weights."""
        held = {n: p.detach().clone() for n, p in moving.items()}
        self.copy_to(moving)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in moving.items():
                    parameter.copy_(held[name])

    def copy_to(self, moving: Mapping[str, nn.Parameter]) -> None:
        """Put the averaged weights into the network, if there are any."""
        if not self.ready:
            return
        with torch.no_grad():
            for name, parameter in moving.items():
                parameter.copy_(self.shadow[name])

    def tensors(self) -> dict[str, torch.Tensor]:
        """For the checkpoint."""
        return {f"ema|{n}": t for n, t in self.shadow.items()} | {"ema|#": torch.tensor(self.updates)}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put back what `tensors` gave."""
        self.updates = int(tensors["ema|#"])
        self.shadow = {n: tensors[f"ema|{n}"].clone() for n in self.shadow}


class Exponential(Average):
    """ema. The decay warms up as (1 + t) / (10 + t) so that early steps do not linger."""

    def __init__(self, decay: float, moving: Mapping[str, nn.Parameter]) -> None:
        super().__init__(moving)
        self.decay = decay

    @property
    def ready(self) -> bool:
        return True

    def due(self, step: int) -> bool:
        return True

    def share(self) -> float:
        return 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))


class Mean(Average):
    """swa: every epoch's end from optimizer step `first` on counts alike."""

    def __init__(self, first: int, per_epoch: int, moving: Mapping[str, nn.Parameter]) -> None:
        super().__init__(moving)
        self.first, self.per_epoch = first, per_epoch

    @property
    def ready(self) -> bool:
        return self.updates > 0

    def due(self, step: int) -> bool:
        return step >= self.first and step % self.per_epoch == 0

    def share(self) -> float:
        return 1 / self.updates


def average_of(train: "Train", moving: Mapping[str, nn.Parameter], total: int, per_epoch: int) -> Average | None:
    """The average that the plan asks for, if any."""
    if train.ema is not None:
        return Exponential(train.ema, moving)
    return None if train.swa is None else Mean(round(train.swa * total), per_epoch, moving)

"""Exponential moving average of the weights: decay * average + (1 - decay) * weights, after each step."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn


class Average:
    """Shadow copies of what moves. The decay warms up as (1 + t) / (10 + t) so that early steps do not linger."""

    def __init__(self, decay: float, moving: Mapping[str, nn.Parameter]) -> None:
        self.decay, self.updates = decay, 0
        self.shadow = {n: p.detach().clone() for n, p in moving.items()}

    def update(self, moving: Mapping[str, nn.Parameter]) -> None:
        """Take in the weights after an optimizer step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        with torch.no_grad():
            for name, parameter in moving.items():
                self.shadow[name].lerp_(parameter, 1 - decay)

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
        """Put the averaged weights into the network."""
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

"""What the output layer is given: the states (B, H) that a row's answer is a linear function of.

Heard by a hook on the layer itself, so that every way of running a network (padded, packed, from a trunk cache, images)
says the very states that its logits were made of, dropout included.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from tunesmith.bases.family import Family
from tunesmith.bases.heads import output_layer
from tunesmith.errors import TunesmithError

if TYPE_CHECKING:
    from torch import nn


def layer_of(auto: "nn.Module", family: Family) -> "nn.Linear":
    """The layer that gives the logits. Raises TunesmithError where there is none."""
    if (found := output_layer(auto, family)) is None:
        raise TunesmithError(f"base: {family.name} has no linear output layer, whose inputs could be looked at")
    return found[1]


@contextmanager
def overheard(auto: "nn.Module", family: Family) -> Iterator[list[torch.Tensor]]:
    """Within the block, what the output layer is given, call by call."""
    heard: list[torch.Tensor] = []
    hook = layer_of(auto, family).register_forward_pre_hook(lambda _, given: heard.append(given[0]))
    try:
        yield heard
    finally:
        hook.remove()

"""Mean pooling: the head reads the mean over a row's tokens, in every architecture.

Sentence encoders were pretrained so, and classify better so; their [CLS] was never trained to say anything. The
library's Auto classes read one position. A hook on the trunk puts the mean at every position, so that whatever the
head picks is the mean; where the trunk holds a pooler (BERT), the mean takes the place of the pooler's answer.

Shape letters: B rows, T tokens, H width.
"""

from typing import TYPE_CHECKING, Any, Literal

import torch

from tunesmith.bases.family import Family, plain

if TYPE_CHECKING:
    from torch import nn


def mean_of(states_BTH: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """Mean over the real tokens of each row, (B, H)."""
    weights_BT1 = mask_BT[:, -states_BTH.shape[1] :].unsqueeze(-1).to(states_BTH.dtype)  # prefix keys have no states
    return (states_BTH * weights_BT1).sum(1) / weights_BT1.sum(1)


def state_at(states_BTH: torch.Tensor, mask_BT: torch.Tensor, reads: Literal["first", "last"]) -> torch.Tensor:
    """State of the first position of each right-padded row, or of its last token, (B, H). Virtual tokens stand before
    a row and are part of it."""
    if reads == "first":
        return states_BTH[:, 0]
    last_B = mask_BT.sum(1) - 1 + states_BTH.shape[1] - mask_BT.shape[1]
    return states_BTH[torch.arange(len(states_BTH), device=states_BTH.device), last_B]


def read_mean(net: "nn.Module", family: Family) -> None:
    """Make the Auto class `net` read means. A pooler that is passed by no longer learns."""
    trunk: Any = plain(net).get_submodule(family.trunk)
    seen: dict[str, torch.Tensor] = {}

    def remember(module: Any, arguments: Any, named: dict[str, Any]) -> None:
        seen["mask"] = named["attention_mask"]

    def replace(module: Any, arguments: Any, output: Any) -> Any:
        states_BTH = output.last_hidden_state
        mean_BH = mean_of(states_BTH, seen.pop("mask"))
        output.last_hidden_state = mean_BH.unsqueeze(1).expand_as(states_BTH)
        if getattr(output, "pooler_output", None) is not None:
            output.pooler_output = mean_BH
        return output

    trunk.register_forward_pre_hook(remember, with_kwargs=True)
    trunk.register_forward_hook(replace)


def shelve_pooler(net: "nn.Module") -> None:
    """Make the pooler of a headless model, of which states are read, something that is saved and that nobody trains:
    its weights become buffers."""
    pooler: Any = getattr(net, "pooler", None)
    for module in () if pooler is None else pooler.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach())


def rest_pooler(net: "nn.Module", family: Family) -> None:
    """Freeze a pooler inside the trunk, which mean pooling passes by."""
    pooler: Any = getattr(plain(net).get_submodule(family.trunk), "pooler", None)
    if pooler is not None:
        pooler.requires_grad_(False)

"""Products with 8-bit weights in the format of the states: y = x (s w)^T + b, nothing of x rounded.

bitsandbytes' own product (LLM.int8) rounds x to 8 bits, too. That is faster on GPUs with such arithmetic, and
rounds what is computed; its gradients are those of something else. Only the 8-bit weight and its scales are
kept for the backward pass; there the weight is multiplied out once more.

Shape letters: T places, I inputs, O outputs.
"""

from typing import Any, cast

import bitsandbytes
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

STEPS = 127


class _Product(torch.autograd.Function):
    """x (s w)^T, differentiable to x alone."""

    @staticmethod
    def forward(ctx: Any, states_TI: Tensor, steps_OI: Tensor, scales_O: Tensor) -> Tensor:
        ctx.save_for_backward(steps_OI, scales_O)
        ctx.dtype = states_TI.dtype
        return linear(states_TI, multiplied(steps_OI, scales_O).to(states_TI.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        weight_OI = multiplied(*ctx.saved_tensors).to(gradient.dtype)
        return (gradient @ weight_OI).to(ctx.dtype), None, None


def multiplied(steps_OI: Tensor, scales_O: Tensor) -> Tensor:
    """The weight (O, I) in float32: steps times the scale of their output."""
    return steps_OI.float() * (scales_O.float() / STEPS)[:, None]


class ExactInt8(bitsandbytes.nn.Linear8bitLt):  # type: ignore[misc]  # the library has no types
    """bitsandbytes' layer with the product above. Its class is kept as the parent because PEFT asks for it."""

    def forward(self, x: Tensor) -> Tensor:
        """(…, I) -> (…, O)."""
        found = cast("Tensor", _Product.apply(x, self.weight.data, self.state.SCB))  # type: ignore[no-untyped-call]
        return found if self.bias is None else found + self.bias.to(found.dtype)

    def _apply(self, fn: Any, recurse: bool = True) -> "ExactInt8":
        super()._apply(fn, recurse)
        self.state.SCB = self.state.SCB.to(self.weight.device)
        return self


def exact(module: nn.Module) -> None:
    """Give an 8-bit layer the product above; another layer is left alone."""
    if type(module) is bitsandbytes.nn.Linear8bitLt:
        layer: Any = module
        if layer.weight.CB is not None:
            layer.init_8bit_state()
        layer.state.CB = None  # the same bytes as the weight
        layer.__class__ = ExactInt8

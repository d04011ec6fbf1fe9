"""Device and number format, by accelerate: one door, so that the loop does not care where it runs."""

from contextlib import AbstractContextManager
from typing import Any, cast

import torch
from torch import nn

from tunesmith.errors import TunesmithError
from tunesmith.machine import features


def choose(asked: str) -> str:
    """fp32, bf16 or fp16 for this machine. Raises TunesmithError where the asked one would be a trap."""
    cuda = torch.cuda.is_available()
    if asked == "auto":
        return "bf16" if cuda and torch.cuda.is_bf16_supported() else "fp32"
    if asked == "fp16" and not cuda:
        raise TunesmithError(
            "train.precision: fp16 is emulated on a CPU and 5 to 10 times slower than fp32. Use fp32, or bf16"
        )
    return asked


class Precision:
    """Where and in which format the network computes."""

    def __init__(self, asked: str) -> None:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState

        self.name = choose(asked)
        mode = "no" if self.name == "fp32" else self.name
        if AcceleratorState._shared_state and AcceleratorState().mixed_precision != mode:
            AcceleratorState._reset_state(reset_partial_state=True)  # an earlier run in this process chose another
        self.accelerator = Accelerator(mixed_precision=mode)
        if self.accelerator.num_processes > 1:
            raise TunesmithError(
                "training on several processes is not supported yet; start one process (without accelerate launch)"
            )

    @property
    def about(self) -> str:
        """What was chosen and how exact it is, for the user."""
        if self.name == "fp32":
            return "precision: fp32 (exact)"
        slow = self.accelerator.device.type == "cpu" and not {"avx512_bf16", "amx_bf16"} & set(features())
        note = "; this processor has no bf16 arithmetic, so it is slower than fp32 here" if slow else ""
        return f"precision: {self.name} products, fp32 sums and weights ({self.name}, about 3 digits{note})"

    def place(self, net: nn.Module) -> Any:
        """The network on its device."""
        return net.to(self.accelerator.device)

    def prepare(self, optimizer: torch.optim.Optimizer) -> Any:
        """The optimizer, made to skip steps that the loss scaler skips."""
        return self.accelerator.prepare_optimizer(optimizer)

    def autocast(self) -> AbstractContextManager[None]:
        """Mixed precision within the block."""
        return cast("AbstractContextManager[None]", self.accelerator.autocast())

    def backward(self, loss: torch.Tensor) -> None:
        """Backward pass, scaled where fp16 needs it."""
        self.accelerator.backward(loss)

    def clip(self, parameters: list[nn.Parameter], largest: float | None, optimizer: Any) -> float:
        """Unscale, clip to the largest norm, and return the norm before clipping."""
        self.accelerator.unscale_gradients(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(parameters, largest if largest is not None else float("inf"))
        return float(norm)

"""One journey of a method on a tiny base: apply, train, save, open, fold. Shared by the method tests."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import tiny
from tunesmith.bases.family import family_of
from tunesmith.methods import METHODS, Method

LABELS = torch.tensor([0, 1, 2])

SPECS: dict[str, dict[str, Any]] = {
    "full": {"name": "full"},
    "head": {"name": "head"},
    "head-last": {"name": "head", "pooler": False},
    "layers": {"name": "layers"},
    "layers-heads": {"name": "layers", "heads": {1: (0,), 3: (1, 2)}},
    "layers-magnitude": {"name": "layers", "sparse": {"by": "magnitude", "share": 0.05}},
    "gradual": {"name": "gradual"},
    "bitfit": {"name": "bitfit"},
    "expand": {"name": "expand", "blocks": 3},
    "lora": {"name": "lora"},
    "lora-qv-top": {"name": "lora", "targets": "qv", "top": 2, "dropout": 0.1, "plus": 16},
    "rslora": {"name": "lora", "variant": "rslora", "r": 4},
    "dora": {"name": "lora", "variant": "dora", "r": 4},
    "adalora": {"name": "lora", "variant": "adalora", "r": 2},
    "vera": {"name": "lora", "variant": "vera"},
    "pissa": {"name": "lora", "init": "pissa", "r": 4},
    "pissa-rslora": {"name": "lora", "init": "pissa", "r": 4, "variant": "rslora"},
    "ia3": {"name": "ia3"},
    "houlsby": {"name": "adapter", "place": "houlsby", "reduction_factor": 4},
    "pfeiffer": {"name": "adapter", "place": "pfeiffer", "reduction_factor": 4},
    "parallel": {"name": "adapter", "place": "parallel", "reduction_factor": 4},
    "prefix": {"name": "prefix", "tokens": 5},
    "prefix-projection": {"name": "prefix", "tokens": 5, "projection": True, "hidden": 8},
    "ptuning": {"name": "ptuning", "tokens": 5, "hidden": 16},
    "ptuning-lstm": {"name": "ptuning", "tokens": 5, "hidden": 8, "encoder": "lstm"},
    "prompt": {"name": "prompt", "tokens": 5},
    "prompt-text": {"name": "prompt", "tokens": 5, "init": "text", "text": "the pump is good or bad"},
    "mixed-lora-adapter": {"name": "mixed", "parts": ["lora", {"name": "adapter", "reduction_factor": 4}]},
    "mixed-lora-prompt": {"name": "mixed", "parts": ["lora", {"name": "prompt", "tokens": 5}]},
    "mixed-bitfit-lora": {"name": "mixed", "parts": ["bitfit", "lora"]},
    "mixed-ia3-lora": {"name": "mixed", "parts": ["ia3", "lora"]},
    "mixed-layers-prefix": {"name": "mixed", "parts": ["layers", {"name": "prefix", "tokens": 5}]},
}
MAIN = (
    "full",
    "head",
    "layers",
    "gradual",
    "bitfit",
    "expand",
    "lora",
    "ia3",
    "pfeiffer",
    "prefix",
    "ptuning",
    "prompt",
)
VIRTUAL = ("prefix", "ptuning", "prompt")


def refused(spec: str, family: str) -> bool:
    """Pairs of the matrix that are refused, each with a test of its words elsewhere."""
    if spec == "expand":
        return family not in tiny.DECODERS
    if "prefix" in spec:
        return family in ("distilbert", "deberta-v2")
    return "bitfit" in spec and family == "llama"


def method(spec: str) -> Method:
    """The method of that line of SPECS."""
    return METHODS.find(SPECS[spec]["name"]).model_validate(SPECS[spec])


@contextmanager
def no_warnings() -> Iterator[None]:
    """PEFT warns of what we have handled; none of it may reach a user."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def answers(net: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits in evaluation mode."""
    net.eval()
    with torch.no_grad():
        return net(**batch).logits


def gap(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest absolute difference."""
    return float((a - b).abs().max())


def train(made: Method, net: nn.Module, batch: dict[str, torch.Tensor], steps: range, total: int = 20) -> Any:
    """So many AdamW steps with weight decay, as the loop of the product makes them; returns the optimizer."""
    net.train()
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.1)
    for step in steps:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(**batch).logits, LABELS)
        extra = made.extra_loss(net)
        (loss if extra is None else loss + extra).backward()
        made.before_step(net, step, total)
        optimizer.step()
        made.after_step(net, step, total)
    return optimizer


@dataclass
class Journey:
    """A method on a base, trained a little."""

    made: Method
    family: str
    batch: dict[str, torch.Tensor]
    base: torch.Tensor
    """Answers of the untouched base."""
    start: torch.Tensor
    """Answers after `apply`."""
    before: dict[str, torch.Tensor]
    """All tensors after `apply`."""
    moving: set[str]
    """Names that may move."""
    lost: list[str]
    """Trainable tensors that got no gradient."""
    net: nn.Module
    end: torch.Tensor
    """Answers after training."""

    def reload(self, folder: Path) -> nn.Module:
        """Save, and open on a fresh base with another head."""
        with no_warnings():
            self.made.save(self.net, folder)
            return self.made.load(tiny.fresh(self.family, seed=99), family_of(self.family), folder)


def travel(spec: str, family: str, steps: int = 3) -> Journey:
    """Apply the method to a fresh tiny base and train it for some steps."""
    made, batch, net = method(spec), tiny.encode(family), tiny.fresh(family)
    base = answers(net, batch)
    torch.manual_seed(0)
    with no_warnings():
        net = made.apply(net, family_of(family))
    start = answers(net, batch)
    before = {name: t.detach().clone() for name, t in net.state_dict().items()}
    moving = {name for name, p in net.named_parameters() if p.requires_grad}
    train(made, net, batch, range(1, steps + 1))
    lost = [name for name, p in net.named_parameters() if p.requires_grad and p.grad is None]
    return Journey(made, family, batch, base, start, before, moving, lost, net, answers(net, batch))


def clone(net: nn.Module) -> nn.Module:
    """A copy, for what uses a network up."""
    return copy.deepcopy(net)

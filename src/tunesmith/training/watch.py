"""Alarms: a run that cannot learn stops and says why; one that learns badly warns at once, with a cure."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from tunesmith.errors import TunesmithError

if TYPE_CHECKING:
    from torch import nn

    from tunesmith.tasks import Encoded

EXPLODED = 1e4


def refuse_bad_loss(loss: float, step: int, rate: float) -> None:
    """Stop at a loss that is no number, has exploded, or is exactly zero where nothing was learnt yet."""
    if not math.isfinite(loss):
        raise TunesmithError(
            f"the loss became {loss} at step {step}. Most often the learning rate is too high: it was {rate:g}; "
            f"try train.lr={rate / 10:g}. The last good checkpoint is kept"
        )
    if abs(loss) > EXPLODED:
        raise TunesmithError(
            f"the loss exploded to {loss:.3g} at step {step} (learning rate {rate:g}). Try train.lr={rate / 10:g}, "
            "or train.clip=1.0"
        )
    if loss == 0.0 and step <= 2:
        raise TunesmithError(
            f"the loss is exactly 0 at step {step}: nothing can be learnt from these labels. "
            "Are they all the same, or all masked?"
        )


def refuse_bad_gradient(norm: float, step: int, rate: float) -> None:
    """Stop at a gradient that is no number, before it reaches the weights."""
    if not math.isfinite(norm):
        raise TunesmithError(
            f"the gradient became {norm} at step {step}; the weights are untouched. Try train.lr={rate / 10:g}, "
            "or train.precision=fp32"
        )


def refuse_silent_tensors(moving: "Mapping[str, nn.Parameter]", step: int) -> None:
    """After the first backward pass, every trainable tensor must have had a gradient path."""
    silent = [name for name, p in moving.items() if p.requires_grad and p.grad is None]
    if silent:
        raise TunesmithError(
            f"no gradient reaches {len(silent)} of {len(moving)} trainable tensors (such as {silent[0]}): they would "
            "never be learnt. This is a bug of the method for this architecture; please report it"
        )


def refuse_masked(train: "Encoded") -> None:
    """Stop before step 1 when no training row has a label to learn from."""
    if train.labels is not None:
        nothing = not any((row[train.learnable :] >= 0).any() for row in train.labels)
    else:
        targets = train.targets
        classes = targets is not None and targets.dtype == np.int64 and targets.ndim == 1
        nothing = targets is None or len(targets) == 0 or (classes and bool((targets < 0).all()))
    if nothing:
        raise TunesmithError("no training row has a label to learn from: all labels are masked or unknown")


def one_class(predicted: np.ndarray, labels: Sequence[str]) -> str | None:
    """A warning when every validation row gets the same answer."""
    found = np.unique(predicted)
    if len(predicted) < 10 or len(found) != 1 or len(labels) < 2:
        return None
    return (
        f"every validation row is answered '{labels[int(found[0])]}'. Cures: more epochs, a higher train.lr, "
        "steps: [{name: balance, how: weights}], or a method that moves more (lora with more targets, layers, full)"
    )


def overfitting(history: Sequence[Mapping[str, float]], keep: str = "best") -> str | None:
    """A warning when training loss has fallen and validation loss has risen over three evaluations in a row; which
    weights the plan keeps."""
    if len(history) < 4:
        return None
    last = history[-4:]
    rising = all(b["validation_loss"] > a["validation_loss"] for a, b in pairwise(last))
    falling = last[-1]["train_loss"] < last[0]["train_loss"]
    if not (rising and falling):
        return None
    return (
        "over-fitting: the training loss falls while the validation loss has risen three times in a row. "
        f"The {keep} weights are kept. Cures: {'' if keep == 'best' else 'train.keep=best, '}fewer epochs, more "
        "dropout, weight decay, label_smoothing, more data"
    )

"""Learning-rate schedules: pure functions of the step, so that resuming and plotting need no state.

All return a factor of the peak rate in [floor, 1]. `plateau` alone depends on what was measured; its drops are
counted by the loop and handed in.
"""

import math
from collections.abc import Callable

from tunesmith.moments import Moment
from tunesmith.settings import OWN_WARMUP, Train


def warmup_steps(train: Train, total: int, per_epoch: int) -> int:
    """Warm-up in optimizer steps; never longer than the run, and none where the schedule has its own."""
    if train.schedule in OWN_WARMUP:
        return 0
    if isinstance(train.warmup, str):
        steps = Moment.parse(train.warmup).steps(per_epoch)
        assert steps is not None
        return min(steps, total)
    return min(total, round(train.warmup * total))


def factor(train: Train, step: int, total: int, per_epoch: int, drops: int = 0) -> float:
    """Share of the peak rate for optimizer step `step` (from 0) of `total`.

    During warm-up it climbs linearly and is already above 0 at step 0.
    """
    warm = warmup_steps(train, total, per_epoch)
    if step < warm:
        return (step + 1) / warm
    progress = (step - warm) / max(1, total - warm)
    shape = _SHAPES[train.schedule](train, progress, step, max(1, warm), drops)
    return train.floor + (1 - train.floor) * shape


def _linear(train: Train, progress: float, step: int, warm: int, drops: int) -> float:
    return 1 - progress


def _cosine(train: Train, progress: float, step: int, warm: int, drops: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


def _restarts(train: Train, progress: float, step: int, warm: int, drops: int) -> float:
    """Cosine that starts anew `cycles` times (Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983)."""
    return 0.5 * (1 + math.cos(math.pi * ((progress * train.cycles) % 1)))


def _polynomial(train: Train, progress: float, step: int, warm: int, drops: int) -> float:
    return float((1 - progress) ** train.power)


def _step(train: Train, progress: float, step: int, warm: int, drops: int) -> float:
    return float(train.factor ** int(progress * train.cycles))


def _constant(train: Train, progress: float, step: int, warm: int, drops: int) -> float:
    return 1.0


def _inverse_sqrt(train: Train, progress: float, step: int, warm: int, drops: int) -> float:
    """Vaswani et al. 2017: sqrt(warm-up / step)."""
    return math.sqrt(warm / max(warm, step + 1))


def _plateau(train: Train, progress: float, step: int, warm: int, drops: int) -> float:
    return float(train.factor**drops)


def _cyclic(train: Train, progress: float, step: int, warm: int, drops: int) -> float:
    """Triangles from a tenth to 1 and back, `cycles` of them (Smith 2017, https://arxiv.org/abs/1506.01186)."""
    place = (progress * train.cycles) % 1
    return 1 - 0.9 * abs(2 * place - 1)


def _one_cycle(train: Train, progress: float, step: int, warm: int, drops: int) -> float:
    """Cosine from 1/25 up to 1, then down to 1/250,000 (Smith & Topin 2018, https://arxiv.org/abs/1708.07120; the
    shape and its constants are those of torch's OneCycleLR; momentum stays as it is)."""
    low, least, rise = 1 / 25, 1 / 250_000, 0.3
    if progress < rise:
        return 1 + (low - 1) / 2 * (1 + math.cos(math.pi * progress / rise))
    return least + (1 - least) / 2 * (1 + math.cos(math.pi * (progress - rise) / (1 - rise)))


_SHAPES: dict[str, Callable[[Train, float, int, int, int], float]] = {
    "linear": _linear, "cosine": _cosine, "restarts": _restarts, "polynomial": _polynomial, "step": _step,
    "constant": _constant, "inverse_sqrt": _inverse_sqrt, "plateau": _plateau, "cyclic": _cyclic,
    "one_cycle": _one_cycle,
}  # fmt: skip

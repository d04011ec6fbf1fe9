"""Augmentation: training images are shown otherwise in every epoch; held-out images never.

Each way says which labels it may break: a mirrored 2 is no 2, and left becomes right. What labels are is told by their
names, and `auto` leaves out what may break them. Draws are a function of (seed of the step, row), so that a resumed run
sees what it would have seen, and a row does not depend on its neighbours.

mixup: Zhang et al. 2018, https://arxiv.org/abs/1710.09412. cutmix: Yun et al. 2019, https://arxiv.org/abs/1905.04899.
randaugment: Cubuk et al. 2020, https://arxiv.org/abs/1909.13719. The pictures' arithmetic is kornia's.

Shape letters: B rows, C channels, H height, W width; values in [0, 1].
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from tunesmith.data.pixels import Pixels
from tunesmith.errors import TunesmithError

if TYPE_CHECKING:
    from torch import Tensor

Name = Literal[
    "flip", "upside_down", "quarter_turn", "rotate", "crop", "blur", "noise", "elastic", "colour", "randaugment",
    "mixup", "cutmix",
]  # fmt: skip
Broken = Literal["digits", "letters", "sides", "heights", "colours"]
"""What names of classes may speak of."""
AUTO: tuple[Name, ...] = ("flip", "crop", "colour")


@dataclass(frozen=True)
class Mix:
    """What rows of a step were mixed with."""

    rows: tuple[int, ...]
    partner_B: "Tensor"
    """Numbers of the partners, as rows of the encoded data."""
    share_B: "Tensor"
    """How much of a row is its own."""

    def of(self, rows: Sequence[int]) -> "tuple[Tensor, Tensor]":
        """(partners, shares) of some rows of the step."""
        place = {row: i for i, row in enumerate(self.rows)}
        at = [place[int(row)] for row in rows]
        return self.partner_B[at], self.share_B[at]


class Way(NamedTuple):
    """One augmentation."""

    what: str
    breaks: tuple[Broken, ...]


WAYS: dict[Name, Way] = {
    "flip": Way("mirrored left to right, one of two times", ("digits", "letters", "sides")),
    "upside_down": Way("mirrored top to bottom, one of two times", ("digits", "letters", "heights")),
    "quarter_turn": Way("turned by 0, 90, 180 or 270 degrees", ("digits", "letters", "sides", "heights")),
    "rotate": Way("turned by up to 10 degrees", ()),
    "crop": Way("70 to 100 % of the area, enlarged to the whole", ()),
    "blur": Way("a Gaussian blur of up to 1.5 pixels", ()),
    "noise": Way("Gaussian noise of up to 5 % of the range", ()),
    "elastic": Way("bent like rubber", ()),
    "colour": Way("brightness, contrast and saturation by up to 20 %, hue by up to 5 %", ("colours",)),
    "randaugment": Way("two of a dozen changes, drawn anew each time", ("digits", "letters", "sides", "colours")),
    "mixup": Way("laid over another image, with both labels by their shares", ()),
    "cutmix": Way("a part from another image, with both labels by their areas", ()),
}
assert set(WAYS) == set(get_args(Name)), "every way is described"

_DIGITS = "zero one two three four five six seven eight nine 零 一 二 三 四 五 六 七 八 九"
_SIDES = "left right clockwise counterclockwise anticlockwise port starboard 左 右 向左 向右"
_HEIGHTS = "up down top bottom upper lower above below 上 下 向上 向下"
_COLOURS = "red green blue yellow orange purple pink brown black white grey gray colour color 红 绿 蓝 黄 黑 白"
_WORDS: dict[Broken, str] = {"sides": _SIDES, "heights": _HEIGHTS, "colours": _COLOURS}


def spoken_of(labels: Iterable[str]) -> dict[Broken, tuple[str, ...]]:
    """What names of classes speak of, with the names: digits or letters where most of them are one."""
    names = list(labels)
    found: dict[Broken, tuple[str, ...]] = {}
    bare = [name.strip().casefold() for name in names]
    digits = [n for n, b in zip(names, bare, strict=True) if b in _DIGITS.split() or re.fullmatch(r"\d", b)]
    letters = [n for n, b in zip(names, bare, strict=True) if len(b) == 1 and b.isalpha() and b not in _DIGITS.split()]
    for kind, some in (("digits", digits), ("letters", letters)):
        if len(some) * 2 > len(names):
            found[kind] = tuple(some)  # type: ignore[index]
    for kind, words in _WORDS.items():
        if some := [n for n, b in zip(names, bare, strict=True) if set(words.split()) & set(re.split(r"[\W_]+", b))]:
            found[kind] = tuple(some)
    return found


def chosen(asked: "Literal['auto'] | tuple[Name, ...]", labels: Sequence[str]) -> tuple[tuple[Name, ...], list[str]]:
    """(what is done, what to tell): `auto` leaves out what may break labels; what is asked for is done, and told."""
    kinds, told = spoken_of(labels), []
    names: tuple[Name, ...] = AUTO if asked == "auto" else asked
    kept = []
    for name in names:
        if broken := [kind for kind in WAYS[name].breaks if kind in kinds]:
            of = ", ".join(repr(n) for n in kinds[broken[0]][:4])
            verb = "is left out" if asked == "auto" else "is done as asked"
            told.append(f"task.augment: {name} may break labels that speak of {broken[0]} (such as {of}), and {verb}")
        if asked != "auto" or not broken:
            kept.append(name)
    return tuple(kept), told


def shown(pixels: Pixels, rows: Sequence[int], names: Sequence[Name], seed: int) -> tuple[Pixels, Mix | None]:
    """The images of a step as they are to be seen: each row with draws of its own."""
    import torch

    with torch.random.fork_rng(devices=[]):
        made = [_one(pixels.raw([row]), names, seed, int(row)) for row in rows]
        raw_BCHW = torch.cat(made)
        mix = None
        for name in ("mixup", "cutmix"):
            if name in names and len(rows) > 1:
                torch.manual_seed(seed)
                raw_BCHW, mix = (_mixup if name == "mixup" else _cutmix)(raw_BCHW, rows)
    at = {int(row): place for place, row in enumerate(rows)}
    return replace(pixels, changed_NCHW=pixels.normal(raw_BCHW.clamp(0, 1)), at=at), mix


def _one(raw_1CHW: "Tensor", names: Sequence[Name], seed: int, row: int) -> "Tensor":
    import numpy as np
    import torch

    key = np.random.SeedSequence([seed, row]).generate_state(1, np.uint64)[0]
    torch.manual_seed(int(key >> np.uint64(1)))
    for name in names:
        if name not in ("mixup", "cutmix"):
            raw_1CHW = _op(name, tuple(raw_1CHW.shape[2:]))(raw_1CHW)
    return raw_1CHW


@cache
def _op(name: Name, size: tuple[int, int]) -> "Callable[[Tensor], Tensor]":
    import torch

    plain: dict[str, Callable[[Tensor], Tensor]] = {
        "flip": lambda x: x.flip(3) if torch.rand(()) < 0.5 else x,
        "upside_down": lambda x: x.flip(2) if torch.rand(()) < 0.5 else x,
        "quarter_turn": lambda x: torch.rot90(x, int(torch.randint(4, ())), (2, 3)),
        "noise": lambda x: x + torch.randn_like(x) * torch.rand(()) * 0.05,
    }
    return plain[name] if name in plain else _kornia(name, size)


def _kornia(name: Name, size: tuple[int, int]) -> Any:
    try:
        from kornia import augmentation as k
    except ImportError as error:
        raise TunesmithError(
            f"task.augment: {name} needs the extra [vision]. Run: pip install 'tunesmith[vision]'"
        ) from error
    import torch

    made: dict[str, Callable[[], Any]] = {
        "rotate": lambda: k.RandomRotation(10.0, p=1.0),
        "crop": lambda: k.RandomResizedCrop(size, scale=(0.7, 1.0), ratio=(0.85, 1.18), p=1.0),
        "blur": lambda: k.RandomGaussianBlur((5, 5), (0.1, 1.5), p=0.5),
        "elastic": lambda: k.RandomElasticTransform(sigma=(8.0, 8.0), alpha=(0.3, 0.3), p=1.0),
        "colour": lambda: k.ColorJitter(0.2, 0.2, 0.2, 0.05, p=1.0),
        "randaugment": lambda: k.auto.RandAugment(n=2, m=10),
    }
    op = made[name]()

    def run(x: "Tensor") -> "Tensor":
        with torch.no_grad():
            found: Tensor = op(x)
        return found

    return run


def _mixup(raw_BCHW: "Tensor", rows: Sequence[int]) -> "tuple[Tensor, Mix]":
    """Shares from Beta(0.2, 0.2), as in the paper, the larger one first."""
    import torch

    partner = torch.randperm(len(rows))
    share_B = torch.distributions.Beta(0.2, 0.2).sample((len(rows),))
    share_B = torch.maximum(share_B, 1 - share_B)
    weight = share_B[:, None, None, None]
    return weight * raw_BCHW + (1 - weight) * raw_BCHW[partner], Mix(
        tuple(rows), torch.tensor(list(rows))[partner], share_B
    )


def _cutmix(raw_BCHW: "Tensor", rows: Sequence[int]) -> "tuple[Tensor, Mix]":
    """Areas uniform in [0, 1/2], so that most of an image stays its own."""
    import torch

    partner, (height, width) = torch.randperm(len(rows)), raw_BCHW.shape[2:]
    out, shares = raw_BCHW.clone(), torch.ones(len(rows))
    for i in range(len(rows)):
        side = float(torch.rand(()) / 2) ** 0.5
        h, w = int(height * side), int(width * side)
        top, left = int(torch.randint(height - h + 1, ())), int(torch.randint(width - w + 1, ()))
        out[i, :, top : top + h, left : left + w] = raw_BCHW[partner[i], :, top : top + h, left : left + w]
        shares[i] = 1 - h * w / (height * width)
    return out, Mix(tuple(rows), torch.tensor(list(rows))[partner], shares)

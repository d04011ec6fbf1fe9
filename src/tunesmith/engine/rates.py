"""How fast this machine computes: measured by every run that ends, and by a product of matrices before the first.

`rates.json` in the cache folder holds, for each processor, number of threads and width of a network, the operations of
matrix products that training did a second (`savings.operations`); and for each task the seconds that follow training.
A new measurement counts for a third, so that one run on a busy machine is soon forgotten.
"""

import math
import time
from typing import Any

from tunesmith.engine import trunk_cache
from tunesmith.errors import TunesmithError
from tunesmith.files import read_json, write_json
from tunesmith.machine import processor

NEW = 1 / 3
"""What a new measurement counts for."""
SHARE = 0.6
"""Of what a large product reaches, what training reaches where nothing was measured yet (minilm on one core: 0.5 to
0.7)."""
SIDE = 512
"""Rows and columns of the matrices that are multiplied to find out."""


def file() -> Any:
    """Where measurements are kept."""
    return trunk_cache.root() / "rates.json"


def known() -> dict[str, float]:
    """Measurements by what they are of; nothing where there are none, or none that can be read."""
    try:
        return {str(k): float(v) for k, v in dict(read_json(file())).items()} if file().is_file() else {}
    except (TunesmithError, ValueError, TypeError, OSError):
        return {}  # a damaged note of speeds costs a new measurement


def remember(what: str, value: float) -> None:
    """Mix a measurement into what is known; a folder that cannot be written to is no fault of a run."""
    found = known()
    found[what] = value if what not in found else (1 - NEW) * found[what] + NEW * value
    try:
        file().parent.mkdir(parents=True, exist_ok=True)
        write_json(file(), found)
    except OSError:
        return


def speed_key(width: int, device: str = "cpu") -> str:
    """What a speed is kept under: widths within a factor of 1.4 are one."""
    import torch

    return f"flops {processor()} x{torch.get_num_threads()} {device} {round(2 * math.log2(max(1, width)))}"


def after_key(task: str) -> str:
    """What the seconds behind training are kept under."""
    return f"after {processor()} {task}"


def speed(width: int, device: str = "cpu") -> tuple[float, str]:
    """(operations a second of training a network of that width, where the figure comes from)."""
    key, found = speed_key(width, device), known()
    if key in found:
        return found[key], "earlier runs here"
    stem, place = key.rsplit(" ", 1)
    near = {abs(int(k.rsplit(" ", 1)[1]) - int(place)): v for k, v in found.items() if k.startswith(stem)}
    if near and min(near) <= 2:
        return near[min(near)], "earlier runs of networks about as wide"
    return SHARE * product(), "a product of matrices"


def product() -> float:
    """Operations a second of a product of two matrices: the best of five."""
    import torch

    left, best = torch.ones(SIDE, SIDE), math.inf
    for _ in range(5):
        began = time.perf_counter()
        torch.mm(left, left)
        best = min(best, time.perf_counter() - began)
    return float(2 * SIDE**3 / best)

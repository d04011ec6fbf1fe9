"""The physical limit: how fast this machine multiplies matrices on one thread, and how many multiplications a job needs.

Shape letters: M rows, K inner width, N outer width.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from meter import Laps

SECONDS = 2.0
"""CPU time for each shape."""
SQUARE = 2048
TOKENS = 1024
"""About the real tokens of a batch of 16 texts."""


def limit(ask: dict[str, Any], laps: Laps) -> dict[str, Any]:
    """{shape: median and best GFLOP/s} for the model's own matrix products, and for a large square one."""
    import torch

    torch.set_num_threads(1)
    width, inner = ask["config"]["hidden_size"], ask["config"]["intermediate_size"]
    shapes = {
        "square": (SQUARE, SQUARE, SQUARE), "attention": (TOKENS, width, width),
        "feed-forward in": (TOKENS, width, inner), "feed-forward out": (TOKENS, inner, width),
    }  # fmt: skip
    laps.lap("import")
    found = {name: _speed(*shape) | {"shape": shape} for name, shape in shapes.items()}
    laps.lap("measure")
    return {"gemm": found, "precision": "fp32", "steps": 0}


def _speed(rows: int, inner: int, outer: int) -> dict[str, float]:
    import torch

    left_MK, right_KN = torch.randn(rows, inner), torch.randn(inner, outer)
    out_MN = torch.empty(rows, outer)
    torch.mm(left_MK, right_KN, out=out_MN)
    taken, began = [], time.process_time()
    while time.process_time() - began < SECONDS:
        start = time.process_time()
        torch.mm(left_MK, right_KN, out=out_MN)
        taken.append(time.process_time() - start)
    work = 2.0 * rows * inner * outer / 1e9
    return {"median": round(work / sorted(taken)[len(taken) // 2], 1), "best": round(work / min(taken), 1)}


def forward_flops(lengths: Sequence[int], config: Mapping[str, Any]) -> float:
    """Floating-point operations of the matrix products of one forward pass over these rows, real tokens only.

    A block of width H and inner width I costs 2 (4 H^2 + 2 H I) a token, and attention 4 H L a token of a row of L;
    pooler and classifier are left out (under 0.1 %). A backward pass through everything costs twice as much.
    """
    width, inner, blocks = (int(config[k]) for k in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    token = 2 * (4 * width**2 + 2 * width * inner)
    return float(blocks * sum(length * token + 4 * width * length**2 for length in lengths))

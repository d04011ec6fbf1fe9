"""Memory ran out in a step: it is taken again in smaller pieces, and so are all after it.

Gradients of the pieces of a step add up to the whole step's, whatever the pieces are. So the result stays equal up to
the order of the sums (*exact*, not *bits*); where dropout is drawn, it is drawn for other pieces: other masks of the
same kind. The smaller size is part of the checkpoint, so that a resumed run goes on with it.
"""

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from tunesmith.engine import memory
from tunesmith.errors import TunesmithError
from tunesmith.machine import give_memory_back

if TYPE_CHECKING:
    from tunesmith.training.loop import Loop

Backward = Callable[[Any, int], tuple[float, float]]
"""Adds up the gradients of some rows with a seed; returns (loss, penalty)."""


def taken(loop: "Loop", rows: Any, seed: int, backward: Backward) -> tuple[float, float]:
    """(loss, penalty) of a step whose gradients are then in the parameters; as often as it takes, each time with half
    the tokens in a forward pass. Raises TunesmithError where single rows are too much."""
    while True:
        torch.manual_seed(seed)
        try:
            return backward(rows, seed)
        except (MemoryError, RuntimeError) as error:
            if not memory.ran_out(error):
                raise
            why = str(error).strip().splitlines()[0] if str(error).strip() else "MemoryError"
        # outside of the handler nothing holds the tensors of the failed pass any more
        loop.optimizer.zero_grad(set_to_none=True)
        _give_back()
        _take_smaller_pieces(loop, rows, why)


def _give_back() -> None:
    gc.collect()
    give_memory_back()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _take_smaller_pieces(loop: "Loop", rows: Any, why: str) -> None:
    way, before = loop.model.shortcuts.way, loop.micro_tokens
    had = list(way.pieces(loop.job.train, rows, before))
    tokens = before // 2
    while tokens and len(list(way.pieces(loop.job.train, rows, tokens))) == len(had):
        tokens //= 2
    if not tokens:
        raise TunesmithError(
            f"out of memory in step {loop.state.step + 1}, and its forward passes cannot be cut any smaller: {why}. "
            "Cures: train.checkpointing: on, task.max_tokens, base.quant: nf4, a method that moves less, or a smaller "
            "base. Run the same command again after freeing memory: it goes on from the last checkpoint"
        )
    loop.state.micro_tokens, loop.state.equality = tokens, "exact"
    text = (
        f"memory ran out in step {loop.state.step + 1}: it and all after it are taken with {tokens}, not {before} "
        f"tokens in a forward pass. Gradients add up to the same. Next time: train.micro_tokens={tokens}"
    )
    loop.state.warnings.append(text)
    loop.job.progress.say(f"warning: {text}")

"""Gradient checkpointing: of each block only its input is kept, and the rest computed again in the backward pass.

Chen et al. 2016, https://arxiv.org/abs/1604.06174. One more forward pass of the blocks (a third more work) for the
memory of one block instead of all. Exact to the bit: the state of the generator is put back before a block runs again,
so that it drops what it dropped, and packed rows are laid as they lay.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch.utils.checkpoint import checkpoint

from tunesmith.bases.family import Family, plain
from tunesmith.engine.packing import again

if TYPE_CHECKING:
    from tunesmith.engine.network import Network


def rerun(forward: Callable[..., Any], *inputs: Any) -> Any:
    """`forward(*inputs)`, of which only the inputs are kept."""
    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=again)


def switch(net: "Network", family: Family, *, on: bool) -> None:
    """Let the blocks run through `rerun` while they train, or no longer. transformers' blocks ask these attributes
    wherever they are called from, so packed and padded rows go the same way. Meanwhile decoders keep no keys of earlier
    tokens: nobody asks for them in training, and a block that runs again would keep them twice."""
    config: Any = plain(net.auto).config
    if on != net.checkpointing and hasattr(config, "use_cache"):
        config.use_cache, net.kept_keys = (False, config.use_cache) if on else (net.kept_keys, None)
    net.checkpointing = on
    for block in family.block_list(net.auto):
        block.gradient_checkpointing = on  # type: ignore[assignment]
        block._gradient_checkpointing_func = rerun  # type: ignore[assignment]

"""What every kind of architecture must say of itself to be run packed; `layouts` and `causal_layouts` have the kinds.

Shape letters as in `packing`, H width of the network, C outputs. Everything below the head is (1, T, H).
"""

from abc import ABC, abstractmethod
from typing import Any, cast

import torch

from tunesmith.engine.packing import Pack

State = torch.Tensor


class Layout(ABC):
    """One kind of architecture. `trunk` is the headless model, `auto` the Auto class around it, both unwrapped."""

    @abstractmethod
    def embed(self, trunk: Any, pack: Pack, words: State | None) -> State:
        """States below the first block. `words` are word embeddings that replace the look-up of `pack.ids_T`."""

    @abstractmethod
    def head(self, auto: Any, trunk: Any, states_BH: State, *, mean: bool) -> State:
        """Logits (B, C) from the states that the head reads: those of one position, or with `mean` the means."""

    @abstractmethod
    def tail(self, block: Any, states: State, pack: Pack, inputs: dict[str, Any]) -> State:
        """The last block at the read positions alone: (1, Q, H)."""

    def language_head(self, auto: Any) -> Any:
        """The module from states to logits over the vocabulary, in the Auto classes for language models."""
        return auto.get_output_embeddings()

    def before_words(self, auto: Any, states: State) -> State:
        """What a language model does with states before that module."""
        return states

    def inputs(self, trunk: Any, states: State, pack: Pack) -> dict[str, Any]:
        """What every block wants to know besides the states."""
        return {}

    def finish(self, trunk: Any, states: State) -> State:
        """What comes after the last block."""
        return states

    def words(self, trunk: Any, pack: Pack, virtual_PE: State) -> State:
        """Word embeddings (1, T, E) with virtual tokens in their places."""
        words_TE = trunk.get_input_embeddings()(pack.ids_T)
        assert pack.virtual_BP is not None
        rows = len(pack.virtual_BP)
        places = pack.virtual_BP.flatten()
        values = virtual_PE.to(words_TE.dtype).repeat(rows, 1)
        return cast("State", words_TE.index_copy(0, places, values).unsqueeze(0))


def heads(states: State, width: int) -> State:
    """(1, N, A x D) -> (A, N, D)."""
    return states[0].reshape(states.shape[1], -1, width).transpose(0, 1)


def drop_share(module: Any, share: float) -> float:
    """The dropout that a module draws now."""
    return float(share) if module.training else 0.0

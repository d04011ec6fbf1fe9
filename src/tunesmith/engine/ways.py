"""Ways to run a network over rows: plainly, as its library would, or packed, maybe from a trunk cache.

Both give the same logits up to rounding; which one runs is decided in `shortcuts`, and proven there on a few rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from tunesmith.data.words import ranges
from tunesmith.engine.batches import collate, pieces_of
from tunesmith.engine.fast import Fast
from tunesmith.engine.noise import noisy, packed, padded
from tunesmith.engine.overhearing import overheard
from tunesmith.engine.packing import by_length, by_tokens, pack
from tunesmith.tasks import Encoded

if TYPE_CHECKING:
    from tunesmith.bases.family import Family
    from tunesmith.engine.batches import Ints
    from tunesmith.engine.network import Network
    from tunesmith.engine.trunk_cache import Cache


Rested = tuple[Callable[[Sequence[int]], torch.Tensor], Callable[[torch.Tensor], torch.Tensor]]


class Way(ABC):
    """How rows become logits."""

    dictates: ClassVar[bool] = False
    """Whether it writes what is heard (`dictation`)."""

    @abstractmethod
    def pieces(self, encoded: Encoded, rows: "Sequence[int] | Ints", max_tokens: int) -> Iterator[list[int]]:
        """Cut the rows of a step into forward passes."""

    @abstractmethod
    def logits(self, encoded: Encoded, rows: Sequence[int]) -> torch.Tensor:
        """Logits (B, C) float32 in the order of `rows` (of all places that are read in them, where rows say which), in
        the mode (training or not) that the network is in."""

    @abstractmethod
    def told(self, encoded: Encoded, rows: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (B, C), and the states (B, H) float32 that the output layer made them of."""

    def rested(self, encoded: Encoded) -> "Rested | None":
        """What the head reads of rows, (B, H), and what it makes of such states: logits (B, C) without the side path;
        None unless one state of each row is kept above a trunk that rests."""
        return None


class Plain(Way):
    """The library's own forward pass on padded rows of similar length."""

    def __init__(self, net: "Network", family: "Family", pad_id: int, *, equal: bool) -> None:
        self.net, self.family, self.pad_id, self.equal = net, family, pad_id, equal

    def pieces(self, encoded: Encoded, rows: "Sequence[int] | Ints", max_tokens: int) -> Iterator[list[int]]:
        return bounded(pieces_of(encoded, rows, max_tokens, equal=self.equal), encoded, max_tokens)

    def logits(self, encoded: Encoded, rows: Sequence[int]) -> torch.Tensor:
        with noisy(self.net, encoded, rows, lambda: padded(encoded, rows)):
            parts = [self.net.part(collate(f, rows, self.pad_id), i) for i, f in enumerate(encoded.forms)]
        return self.net.whole(self.net.joined(parts), encoded, rows)

    def told(self, encoded: Encoded, rows: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        with overheard(self.net.auto, self.family) as heard:
            logits_BC = self.logits(encoded, rows)
        states = heard[-1]
        if states.dim() == 3:  # decoders answer at every position, and one is read
            lengths = encoded.ids.lengths_of(rows)
            last_B = torch.from_numpy(lengths - 1 + states.shape[1] - lengths.max()).to(states.device)
            states = states[torch.arange(len(lengths), device=states.device), last_B]
        return logits_BC, _whole(states)


class Packed(Way):
    """Rows end to end, from their tokens or from what the trunk cache holds of them."""

    def __init__(self, fast: Fast, virtual: int) -> None:
        self.fast, self.virtual = fast, virtual
        self.caches: dict[int, Cache] = {}
        """By id of the encoded rows, which each cache holds."""

    def pieces(self, encoded: Encoded, rows: "Sequence[int] | Ints", max_tokens: int) -> Iterator[list[int]]:
        if (cache := self.caches.get(id(encoded.inner or encoded))) is not None and cache.pooled:
            # one vector a row: the whole step is one product
            yield from bounded(iter([by_length(encoded, rows)]), encoded, max_tokens)
        else:
            yield from bounded(by_tokens(encoded, rows, max_tokens, self.virtual), encoded, max_tokens)

    def logits(self, encoded: Encoded, rows: Sequence[int]) -> torch.Tensor:
        net = self.fast.net
        parts = [_sorted(*self._part(form, rows, i)) for i, form in enumerate(encoded.forms)]
        return net.whole(net.joined(parts), encoded, rows)

    def told(self, encoded: Encoded, rows: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        net = self.fast.net
        with overheard(net.auto, self.fast.family) as heard:
            said, order = self._part(encoded, rows, 0)
        logits_BC = net.whole(net.joined([_sorted(said, order)]), encoded, rows)
        return logits_BC, _whole(_sorted(heard[-1], order))

    def rested(self, encoded: Encoded) -> "Rested | None":
        cache, net = self.caches.get(id(encoded)), self.fast.net
        if cache is None or not cache.pooled or net.words is not None or net.tower is not None:
            return None
        device = next(net.parameters()).device
        return (lambda rows: cache.states(rows).to(device)), self.fast.head

    def _part(self, encoded: Encoded, rows: Sequence[int], form: int) -> tuple[torch.Tensor, "Ints | None"]:
        """What the head says of rows in one form, (B, C), or (B, W) of label words, as they lie; and where the `rows`
        stand in it, unless that is their order."""
        fast = self.fast
        device = next(fast.net.parameters()).device
        cache = self.caches.get(id(encoded))
        if cache is not None and cache.pooled:
            return fast.head(cache.states(rows).to(device), form), None
        packed_rows = pack(encoded, rows, fast.family.reads, self.virtual).to(device)
        if cache is None:
            lying = packed_rows.rows
            with noisy(fast.net, encoded, lying, lambda: packed(encoded, lying, self.virtual)):
                states, cut = fast.below(packed_rows, 0), 0
        else:
            states, cut = cache.states(packed_rows.rows).to(device), cache.cut
        return fast.above(states, packed_rows, cut, form), _order(encoded, packed_rows.rows, rows)


def _whole(states: torch.Tensor) -> torch.Tensor:
    return states if states.dtype == torch.float64 else states.float()


def _sorted(said: torch.Tensor, order: "Ints | None") -> torch.Tensor:
    return said if order is None else said[torch.from_numpy(order).to(said.device)]


def bounded(found: Iterator[list[int]], encoded: Encoded, max_tokens: int) -> Iterator[list[int]]:
    """Pieces cut again, where images stand beside their rows, to as many as `max_tokens` allows of these."""
    if encoded.beside is None or encoded.beside.pixels is None:
        return found
    most = max(1, max_tokens // encoded.beside.pixels.places)
    return (piece[start : start + most] for piece in found for start in range(0, len(piece), most))


def _order(encoded: Encoded, lying: Sequence[int], rows: Sequence[int]) -> "Ints":
    """Where what is read of `rows`, in their order, stands among what is read of rows as they lie."""
    place = {row: i for i, row in enumerate(lying)}
    index = np.array([place[int(row)] for row in rows], dtype=np.int64)
    if encoded.reads is None:
        return index
    ends = np.cumsum(encoded.reads.lengths_of(lying))
    return ranges(np.concatenate([[0], ends]), index)

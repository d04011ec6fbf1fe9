"""Batches: which rows make a step (the seed alone decides), and how a step is cut into forward passes.

Shape letters: B rows, T tokens of the longest row. Cutting a batch into pieces of similar length changes nothing but
the time it takes: the loss of a step is one weighted mean over all its rows, whatever piece they are in.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tunesmith.tasks import Encoded

if TYPE_CHECKING:
    import torch

    from tunesmith.data.ragged import Ragged
    from tunesmith.tasks._blend import Blend

Ints = NDArray[np.int64]


@dataclass
class Batch:
    """Some rows as tensors."""

    rows: list[int]
    inputs: "dict[str, torch.Tensor]"
    """input_ids, attention_mask and, for pairs, token_type_ids: (B, T) int64; or pixel_values: (B, C, H, W)
    float32; or both; or what is heard (`Waves.inputs`)."""
    side: "torch.Tensor | None"
    """(B, S) float32."""
    targets: "torch.Tensor | None"
    """Of rows; None where they are those of the places that are read."""
    weights: "torch.Tensor"
    """(B,) float32."""
    places: "torch.Tensor | None" = None
    """(B, n): where label words are read."""
    reads: "tuple[torch.Tensor, torch.Tensor] | None" = None
    """(Q,) each: which row, and which place in it, where a head reads any number of places."""


@lru_cache(maxsize=1)
def order(num_rows: int, seed: int, epoch: int) -> Ints:
    """The rows of an epoch in training order: a function of seed and epoch, so that resuming needs no state.
    Read-only; kept for the steps of the epoch."""
    rows = np.random.default_rng([seed, epoch, 1]).permutation(num_rows)
    rows.flags.writeable = False
    return rows


def step_rows(num_rows: int, batch: int, seed: int, step: int) -> Ints:
    """Rows of optimizer step `step` (from 0). The last batch of an epoch may be short; no row is left out."""
    per_epoch = steps_per_epoch(num_rows, batch)
    epoch, place = divmod(step, per_epoch)
    return order(num_rows, seed, epoch)[place * batch : (place + 1) * batch]


def steps_per_epoch(num_rows: int, batch: int) -> int:
    """Optimizer steps that visit every row once."""
    return -(-num_rows // batch)


class Batches:
    """Which rows make each step: so many rows, or about so many tokens.

    With a budget of tokens an epoch has ceil(all tokens / budget) steps, and a row belongs to the step in which its
    middle token falls, in training order: every step gets the budget to within half of its first and last row, and all
    epochs have the same number of steps.
    A blend says which rows make an epoch, and in which order, where these are of several kinds.
    """

    def __init__(
        self, ids: "Ragged", rows: int, tokens: int | None, seed: int, blend: "Blend | None" = None
    ) -> None:  # fmt: skip
        self.ids, self.batch, self.seed = ids, rows, seed
        self.tokens, self.blend = tokens, blend
        self._cuts: tuple[int, Ints, Ints] | None = None
        self._order: tuple[int, Ints] | None = None
        count, size = len(self), ids.size if blend is None else round(blend.tokens(ids.lengths))
        self.per_epoch = steps_per_epoch(count, rows) if tokens is None else -(-size // tokens)
        self.per_epoch = min(max(1, self.per_epoch), count) if count else 0

    def __len__(self) -> int:
        """Rows an epoch."""
        return len(self.ids) if self.blend is None else len(self.blend)

    def _of_epoch(self, epoch: int) -> Ints:
        """The rows of an epoch in training order; the last one asked for is remembered."""
        if self.blend is None:
            return order(len(self.ids), self.seed, epoch)
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, self.blend.order(self.seed, epoch)
        return self._order[1]

    def rows(self, step: int) -> Ints:
        """Rows of optimizer step `step` (from 0). No row is left out of an epoch."""
        epoch, place = divmod(step, self.per_epoch)
        if self.tokens is None:
            return self._of_epoch(epoch)[place * self.batch : (place + 1) * self.batch]
        rows, edges = self._cut(epoch)
        return rows[edges[place] : edges[place + 1]]

    def _cut(self, epoch: int) -> tuple[Ints, Ints]:
        """The epoch's rows in order, and where each step begins in them; the last epoch asked for is remembered."""
        if self._cuts is None or self._cuts[0] != epoch:
            rows = self._of_epoch(epoch)
            lengths = self.ids.lengths_of(rows)
            ends = lengths.cumsum()
            middles = ends - lengths / 2
            bounds = np.arange(1, self.per_epoch) * (ends[-1] / self.per_epoch)
            inner = np.searchsorted(middles, bounds)
            least = np.arange(1, self.per_epoch)  # a step has a row, however long the rows around it are
            inner = np.minimum(np.maximum.accumulate(np.maximum(inner, least) - least) + least,
                               len(rows) - self.per_epoch + least)  # fmt: skip
            self._cuts = (epoch, rows, np.concatenate([[0], inner, [len(rows)]]))
        return self._cuts[1], self._cuts[2]


def pieces(
    rows: Sequence[int] | Ints, lengths: Ints | Mapping[int, int], max_tokens: int, *, equal: bool = False
) -> Iterator[list[int]]:
    """Cut rows, sorted by length, into pieces of at most `max_tokens` places after padding (never less than a row).

    A piece also ends where padding would exceed a quarter of it: short rows do not wait for a long one. With
    `equal`, all rows of a piece have one length, for methods whose answer would depend on padding.
    """
    piece: list[int] = []
    real = 0
    for row in sorted((int(r) for r in rows), key=lambda r: (int(lengths[r]), r)):
        length = int(lengths[row])
        places = (len(piece) + 1) * length
        wasteful = len(piece) >= 8 and places > 1.34 * (real + length)
        differs = equal and piece and length != int(lengths[piece[-1]])
        if piece and (places > max_tokens or wasteful or differs):
            yield piece
            piece, real = [], 0
        piece.append(row)
        real += length
    if piece:
        yield piece


def pieces_of(
    encoded: Encoded, rows: Sequence[int] | Ints, max_tokens: int, *, equal: bool = False
) -> Iterator[list[int]]:
    """`pieces` of these rows. Clips are measured in samples, and have one length in a piece unless they are masked."""
    if (waves := encoded.waves) is None:
        lengths = encoded.ids.lengths_of(rows)
    else:
        lengths, equal = waves.lengths[np.asarray(rows, dtype=np.int64)], not waves.masked
        max_tokens = round(max_tokens * waves.flat.size / max(1, encoded.ids.size))
    yield from pieces(rows, dict(zip(map(int, rows), lengths.tolist(), strict=True)), max_tokens, equal=equal)


def collate(encoded: Encoded, rows: Sequence[int], pad_id: int) -> Batch:
    """The rows as right-padded tensors on the CPU."""
    import torch

    if encoded.waves is not None:
        return _batch(encoded, rows, encoded.waves.inputs(rows))
    if encoded.paired is not None:
        parts = [collate(part, own, pad_id).inputs for part, own in encoded.paired.of(rows)]
        return _batch(encoded, rows, parts[0] | parts[1])
    if encoded.pixels is not None:
        return _batch(encoded, rows, {"pixel_values": encoded.pixels.values(rows)})
    width = max(len(encoded.ids[r]) for r in rows)
    ids_BT = np.full((len(rows), width), pad_id, dtype=np.int64)
    mask_BT = np.zeros((len(rows), width), dtype=np.int64)
    types_BT = np.zeros((len(rows), width), dtype=np.int64)
    for i, r in enumerate(rows):
        length = len(encoded.ids[r])
        ids_BT[i, :length] = encoded.ids[r]
        mask_BT[i, :length] = 1
        if encoded.types is not None:
            types_BT[i, :length] = encoded.types[r]
    inputs = {"input_ids": torch.from_numpy(ids_BT), "attention_mask": torch.from_numpy(mask_BT)}
    if encoded.types is not None:
        inputs["token_type_ids"] = torch.from_numpy(types_BT)
    return _batch(encoded, rows, inputs)


def _batch(encoded: Encoded, rows: Sequence[int], inputs: "dict[str, torch.Tensor]") -> Batch:
    import torch

    targets = encoded.targets if encoded.reads is None else None
    return Batch(
        rows=list(rows),
        inputs=inputs,
        side=None if encoded.side is None else torch.from_numpy(encoded.side[list(rows)]),
        targets=None if targets is None else torch.from_numpy(targets[list(rows)]),
        weights=torch.from_numpy(encoded.weights[list(rows)]),
        places=None if encoded.slots is None else torch.from_numpy(encoded.slots.places(rows)),
        reads=None if encoded.reads is None else _reads(encoded.reads, rows),
    )


def _reads(reads: "Ragged", rows: Sequence[int]) -> "tuple[torch.Tensor, torch.Tensor]":
    import torch

    index = np.repeat(np.arange(len(rows)), reads.lengths_of(rows))
    return torch.from_numpy(index), torch.from_numpy(reads.joined(rows).astype(np.int64))

"""Packed rows: many rows end to end in one sequence, no padding, each attending to itself alone.

A padded batch of B rows computes B x (longest row) positions; a packed one computes the tokens that are there. Every
layer but attention works on single positions and cannot tell the difference. Attention gets told by `Pack.runs`
where rows lie: rows of equal length stand next to each other and go through one kernel call together.

Shape letters: T tokens of all rows (virtual tokens included), B rows, L tokens of a row, A heads, D width of a head.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import scaled_dot_product_attention

from tunesmith.tasks import Encoded

NAME = "tunesmith_packed"
_here = threading.local()


@dataclass
class Pack:
    """Rows end to end, shortest first."""

    rows: list[int]
    """Numbers of the rows, in the order in which they lie."""
    ids_T: torch.Tensor
    """Token ids; a virtual token has the id 0 and is listed in `virtual_BP`."""
    types_T: torch.Tensor | None
    positions_T: torch.Tensor
    """Place of each token in its row, from 0."""
    runs: list[tuple[int, int, int]]
    """(start, length, count): `count` rows of `length` tokens each from `start`."""
    reads_B: torch.Tensor
    """Where in T the head reads each row."""
    virtual_BP: torch.Tensor | None
    """Where in T the virtual tokens of each row lie."""

    def means(self, states_TH: torch.Tensor) -> torch.Tensor:
        """Mean state of each row, (B, H)."""
        rows = (states_TH[s : s + n * c].reshape(c, n, -1).mean(1) for s, n, c in self.runs)
        return torch.cat(list(rows))

    def to(self, device: torch.device) -> "Pack":
        """The same on a device."""
        for name, value in vars(self).items():
            if isinstance(value, torch.Tensor):
                setattr(self, name, value.to(device))
        return self


def pack(encoded: Encoded, rows: Sequence[int], reads: Literal["first", "last"], virtual: int = 0) -> Pack:
    """Lay rows end to end, shortest first, with room for `virtual` tokens in front of each."""
    ordered = by_length(encoded, rows)
    lengths = encoded.ids.lengths_of(ordered) + virtual
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    total = int(lengths.sum())
    positions = np.arange(total) - np.repeat(starts, lengths)
    real = positions >= virtual
    ids = np.zeros(total, dtype=np.int64)
    ids[real] = encoded.ids.joined(ordered)
    types = None
    if encoded.types is not None:
        types = np.zeros(total, dtype=np.int64)
        types[real] = encoded.types.joined(ordered)
    first_of_run = np.flatnonzero(np.diff(lengths, prepend=-1))
    counts = np.diff(np.append(first_of_run, len(ordered)))
    ends = starts + lengths - 1
    return Pack(
        rows=ordered,
        ids_T=torch.from_numpy(ids),
        types_T=None if types is None else torch.from_numpy(types),
        positions_T=torch.from_numpy(positions),
        runs=[(int(starts[f]), int(lengths[f]), int(c)) for f, c in zip(first_of_run, counts, strict=True)],
        reads_B=torch.from_numpy(starts if reads == "first" else ends),
        virtual_BP=torch.from_numpy(starts[:, None] + np.arange(virtual)) if virtual else None,
    )


def by_length(encoded: Encoded, rows: Sequence[int] | NDArray[np.int64]) -> list[int]:
    """Rows, shortest first; among equals the lower number first."""
    index = np.asarray(rows, dtype=np.int64)
    return [int(r) for r in index[np.lexsort((index, encoded.ids.lengths_of(index)))]]


@contextmanager
def packed(config: Any, rows: Pack) -> Iterator[None]:
    """Within the block, the attention of a network with this configuration keeps to the rows of `rows`."""
    _register()
    before = config._attn_implementation
    config._attn_implementation, _here.pack = NAME, rows
    try:
        yield
    finally:
        config._attn_implementation, _here.pack = before, None


def _register() -> None:
    from transformers import AttentionInterface

    if NAME not in AttentionInterface().valid_keys():  # type: ignore[no-untyped-call]
        AttentionInterface.register(NAME, _attention)


def _attention(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: None = None, **more: Any
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface: query (1, A, T, D), key and value (1, A or fewer, T, D) -> (1, T, A, D)."""
    dropout, scale = more.get("dropout", 0.0), more.get("scaling")
    causal = bool(getattr(module, "is_causal", False))
    states = attend(_here.pack.runs, (query[0], key[0], value[0]), dropout, scale, causal=causal)
    return states.unsqueeze(0), None


Three = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def attend(
    runs: Sequence[tuple[int, int, int]], parts: Three, dropout: float, scale: float | None, *, causal: bool
) -> torch.Tensor:
    """Each row attends to itself: (T, A, D) from query (A, T, D), key and value (A or fewer, T, D)."""
    grouped = parts[0].shape[0] != parts[1].shape[0]
    out = []
    for start, length, count in runs:
        end = start + length * count
        query, key, value = (_rows(x[:, start:end], count) for x in parts)
        states = scaled_dot_product_attention(
            query, key, value, dropout_p=dropout, scale=scale, is_causal=causal, enable_gqa=grouped
        )
        out.append(states.transpose(1, 2).flatten(0, 1))
    return out[0] if len(out) == 1 else torch.cat(out)


def attend_read(
    runs: Sequence[tuple[int, int, int]], parts: Three, dropout: float, scale: float | None
) -> torch.Tensor:
    """One position of each row attends to its whole row: (B, A, D) from query (A, B, D), key and value as above.

    In a causal network that position is the last, so that nothing needs a mask.
    """
    grouped = parts[0].shape[0] != parts[1].shape[0]
    out, row = [], 0
    for start, length, count in runs:
        end = start + length * count
        query = _rows(parts[0][:, row : row + count], count)
        key, value = (_rows(x[:, start:end], count) for x in parts[1:])
        states = scaled_dot_product_attention(query, key, value, dropout_p=dropout, scale=scale, enable_gqa=grouped)
        out.append(states.squeeze(2))
        row += count
    return out[0] if len(out) == 1 else torch.cat(out)


def _rows(states_AND: torch.Tensor, count: int) -> torch.Tensor:
    """(A, count x L, D) -> (count, A, L, D)."""
    heads, places, width = states_AND.shape
    return states_AND.reshape(heads, count, places // count, width).transpose(0, 1)

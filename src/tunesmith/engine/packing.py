"""Packed rows: many rows end to end in one sequence, no padding, each attending to itself alone.

A padded batch of B rows computes B x (longest row) positions; a packed one computes the tokens that are there. Every
layer but attention works on single positions and cannot tell the difference. Attention gets told by `Pack.runs`
where rows lie: rows of equal length stand next to each other and go through one kernel call together. In a causal
network rows may continue tokens that were computed once for several of them (`Run.before`).

Shape letters: T tokens of all rows (virtual tokens included), B rows, L tokens of a row, A heads, D width of a head,
Q positions that are read.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import scaled_dot_product_attention

from tunesmith.engine.dropout import drop
from tunesmith.tasks import Encoded

NAME = "tunesmith_packed"
_here = threading.local()


class Run(NamedTuple):
    """`rows` rows of `length` tokens each, end to end from `start`."""

    start: int
    length: int
    rows: int
    before: tuple[int, int] = (0, 0)
    """(start, length) of the tokens that each of these rows continues; they are a row of their own."""

    @property
    def end(self) -> int:
        """Where the next run begins."""
        return self.start + self.length * self.rows


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
    runs: list[Run]
    reads_Q: torch.Tensor
    """Where in T the head reads, ascending: at `each` positions of every row, or where `asked` says."""
    virtual_BP: torch.Tensor | None
    """Where in T the virtual tokens of each row lie."""
    asked: list[NDArray[np.int64]] | None = None
    """For each row as it lies, the places in it that are read (any number, ascending), each of which sees what stands
    up to itself. None: `each` of every row, which see the whole row."""
    each: int = 1

    def means(self, states_TH: torch.Tensor) -> torch.Tensor:
        """Mean state of each row, (B, H)."""
        rows = (states_TH[run.start : run.end].reshape(run.rows, run.length, -1).mean(1) for run in self.runs)
        return torch.cat(list(rows))

    def to(self, device: torch.device) -> "Pack":
        """The same on a device."""
        for name, value in vars(self).items():
            if isinstance(value, torch.Tensor):
                setattr(self, name, value.to(device))
        return self


def pack(encoded: Encoded, rows: Sequence[int], reads: Literal["first", "last"], virtual: int = 0) -> Pack:
    """Lay rows end to end, shortest first, with room for `virtual` tokens in front of each. `reads` is which position
    a head reads, in rows that do not say it; the last is that of causal networks."""
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
    reads_Bn = (starts if reads == "first" else starts + lengths - 1)[:, None]
    if encoded.slots is not None:
        reads_Bn = starts[:, None] + virtual + encoded.slots.places(ordered)
    several = reads_Bn.shape[1] > 1 and reads == "last"
    reads_Q = reads_Bn.reshape(-1)
    if encoded.reads is not None:
        reads_Q = np.repeat(starts + virtual, encoded.reads.lengths_of(ordered)) + encoded.reads.joined(ordered)
    return Pack(
        rows=ordered,
        ids_T=torch.from_numpy(ids),
        types_T=None if types is None else torch.from_numpy(types),
        positions_T=torch.from_numpy(positions),
        runs=runs_of(lengths),
        reads_Q=torch.from_numpy(reads_Q),
        virtual_BP=torch.from_numpy(starts[:, None] + np.arange(virtual)) if virtual else None,
        asked=list(reads_Bn - starts[:, None]) if several else None,
        each=reads_Bn.shape[1],
    )


def runs_of(lengths: NDArray[np.int64], start: int = 0, before: tuple[int, int] = (0, 0)) -> list[Run]:
    """Rows of these lengths, sorted, laid end to end from `start`: equal ones together."""
    values, counts = np.unique(lengths, return_counts=True)
    runs = []
    for length, count in zip(values.tolist(), counts.tolist(), strict=True):
        runs.append(Run(start, length, count, before))
        start = runs[-1].end
    return runs


def by_length(encoded: Encoded, rows: Sequence[int] | NDArray[np.int64]) -> list[int]:
    """Rows, shortest first; among equals the lower number first."""
    index = np.asarray(rows, dtype=np.int64)
    return [int(r) for r in index[np.lexsort((index, encoded.ids.lengths_of(index)))]]


def by_tokens(
    encoded: Encoded, rows: Sequence[int] | NDArray[np.int64], max_tokens: int, virtual: int
) -> Iterator[list[int]]:
    """Cut rows, shortest first, into pieces of at most `max_tokens` tokens (never less than a row)."""
    ordered = by_length(encoded, rows)
    piece: list[int] = []
    tokens = 0
    for row, tokens_of_row in zip(ordered, encoded.ids.lengths_of(ordered).tolist(), strict=True):
        length = tokens_of_row + virtual
        if piece and tokens + length > max_tokens:
            yield piece
            piece, tokens = [], 0
        piece.append(row)
        tokens += length
    if piece:
        yield piece


@contextmanager
def packed(config: Any, rows: Pack) -> Iterator[None]:
    """Within the block, the attention of a network with this configuration keeps to the rows of `rows`."""
    _register()
    before = config._attn_implementation
    config._attn_implementation, _here.pack, _here.config = NAME, rows, config
    try:
        yield
    finally:
        config._attn_implementation, _here.pack = before, None


def again() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """(nothing, the rows that lie here now once more): contexts of a forward pass, and of its repetition in the
    backward pass, which runs later and maybe in another thread."""
    rows = getattr(_here, "pack", None)
    return nullcontext(), nullcontext() if rows is None else packed(_here.config, rows)


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


def attend(runs: Sequence[Run], parts: Three, dropout: float, scale: float | None, *, causal: bool) -> torch.Tensor:
    """Each row attends to itself, and to what it continues: (T, A, D) from query (A, T, D), key and value (A or
    fewer, T, D)."""
    out = []
    for run in runs:
        query, key, value = _rows(parts[0][:, run.start : run.end], run.rows), *_seen(run, parts)
        length = run.before[1]
        mask = _sees(torch.arange(length, length + run.length, device=key.device), key) if length else None
        states = _attended((query, key, value), mask, dropout, scale, causal=causal and not length)
        out.append(states.transpose(1, 2).flatten(0, 1))
    return out[0] if len(out) == 1 else torch.cat(out)


def attend_read(pack: Pack, parts: Three, dropout: float, scale: float | None) -> torch.Tensor:
    """The positions that are read attend: (Q, A, D) from query (A, Q, D), key and value as above.

    Those of a row see the whole row; in a causal network there is one, the last, so that nothing needs a mask.
    """
    if pack.asked is not None:
        return _attend_asked(pack.runs, pack.asked, parts, dropout, scale)
    out, read = [], 0
    for run in pack.runs:
        end = read + run.rows * pack.each
        query = _rows(parts[0][:, read:end], run.rows)
        key, value = _seen(run, parts)
        states = _attended((query, key, value), None, dropout, scale, causal=False)
        out.append(states.transpose(1, 2).flatten(0, 1))
        read = end
    return out[0] if len(out) == 1 else torch.cat(out)


def _attend_asked(
    runs: Sequence[Run], asked: Sequence[NDArray[np.int64]], parts: Three, dropout: float, scale: float | None
) -> torch.Tensor:
    """Any number of positions of each row, each seeing the tokens up to itself (causal networks alone)."""
    single = [Run(r.start + i * r.length, r.length, 1, r.before) for r in runs for i in range(r.rows)]
    out, taken = [], 0
    for run, places in zip(single, asked, strict=True):
        if not len(places):
            continue
        reach = run._replace(length=int(places[-1]) + 1)  # what comes later is seen by none of them
        key, value = _seen(reach, parts)
        query = parts[0][:, taken : taken + len(places)].unsqueeze(0)
        mask = _sees(torch.from_numpy(places).to(key.device) + run.before[1], key)
        states = _attended((query, key, value), mask, dropout, scale, causal=False)
        out.append(states[0].transpose(0, 1))
        taken += len(places)
    return torch.cat(out)


def _attended(
    parts: Three, mask: torch.Tensor | None, share: float, scale: float | None, *, causal: bool
) -> torch.Tensor:
    """softmax(Q K' scale) V for (rows, A, L, D). With dropout torch's kernel would build the same matrix, and draw for
    it at four times the price (`dropout`); without, or on a GPU, torch's kernel it is."""
    query, key, value = parts
    grouped = query.shape[1] != key.shape[1]
    if not share or query.device.type != "cpu":
        return scaled_dot_product_attention(query, key, value, mask, share, causal, scale=scale, enable_gqa=grouped)
    if grouped:
        times = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(times, 1), value.repeat_interleave(times, 1)
    scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(-2, -1)
    if causal:
        mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return drop(scores.softmax(-1), share) @ value


def _seen(run: Run, parts: Three) -> tuple[torch.Tensor, torch.Tensor]:
    """Key and value (count, A, before + L, D) of the rows of a run."""
    start, length = run.before
    found = []
    for states_ATD in parts[1:]:
        own = _rows(states_ATD[:, run.start : run.end], run.rows)
        if length:
            shared = states_ATD[:, start : start + length].expand(run.rows, -1, -1, -1)
            own = torch.cat((shared, own), 2)
        found.append(own)
    return found[0], found[1]


def _sees(places_N: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """(N, K): which keys each place sees, those up to itself."""
    return places_N[:, None] >= torch.arange(key.shape[2], device=key.device)


def _rows(states_AND: torch.Tensor, count: int) -> torch.Tensor:
    """(A, count x L, D) -> (count, A, L, D)."""
    heads, places, width = states_AND.shape
    return states_AND.reshape(heads, count, places // count, width).transpose(0, 1)

"""Rows of a language model laid out for learning: what is read, what is needed for it, what several rows share.

    row 0   s s s s s a a a A A        s: a prompt that rows share, lower case: given, upper case: to be predicted
    row 1   s s s s s b B B B

    packed  s s s s s | b B B | a a a A        (the last token of a row predicts nothing that is asked for)
    reads               ^ ^ ^       ^ ^

A label is predicted from the place before it. Tokens behind the last read position of a row are seen by nothing that
counts, and left out. Tokens with which several rows begin are one row of their own, which the others continue: their
keys and values are computed once, and gradients of all rows meet there by themselves. Where such tokens are read, too,
each different label that rows ask for at a position is computed once.

Shape letters: N rows, T tokens packed, S supervised positions of all rows, Q different ones (position and label).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tunesmith.engine.chunked_loss import BUDGET
from tunesmith.engine.packing import Pack, Run, runs_of
from tunesmith.tasks import Encoded

Ints = NDArray[np.int64]
UNREAD = -100
LEAST = 16
"""Tokens from which on a shared beginning is worth a row of its own."""
WORTH = 0.05
"""Share of a group's tokens that sharing must save: keys are copied to every row, and attention gets a mask."""
_NESTED = 50


@dataclass(frozen=True)
class Levers:
    """Shortcuts of language models. None changes a result; each can be switched off."""

    pack: bool = True
    """Rows end to end instead of padded batches. The other levers need it."""
    reads: bool = True
    """The last block only where something is read, and no tokens behind the last such place of a row."""
    head: bool = True
    """Head and loss only at supervised positions."""
    budget: int = BUDGET
    """Bytes of logits held at a time; 0 holds all."""
    prefix: bool = True
    """Tokens with which several rows begin are computed once in a forward pass. Not while dropout or
    noise is drawn: rows would share it."""


class Asked(NamedTuple):
    """The supervised positions of some rows, in their order, (S,) each."""

    index_S: Ints
    """Which of the rows asked for."""
    places_S: Ints
    """Place of the label in its row."""
    labels_S: Ints
    weights_S: NDArray[np.float32]
    """Weight of the row times that of the label."""


@dataclass
class Lesson:
    """Packed rows and what is read of them."""

    pack: Pack
    takes_T: Ints
    """Where each packed token is among the tokens of all rows asked for, end to end; virtual ones are nowhere (-1)."""
    labels_Q: torch.Tensor
    back_S: torch.Tensor
    """Which of the Q different positions each of the S is."""
    saved: int
    """Tokens that need not be computed, because they are shared or seen by nothing that counts."""


class _Piece(NamedTuple):
    """Tokens of one row that lie together: those from `first` to `end`."""

    row: int
    first: int
    end: int


def asked(encoded: Encoded, rows: Sequence[int], virtual: int = 0) -> Asked:
    """Where labels are to be predicted. Virtual tokens in front of a row are something to predict its first from."""
    assert encoded.labels is not None, "rows to learn from have labels"
    index = np.asarray(rows, dtype=np.int64)
    lengths = encoded.labels.lengths_of(index)
    starts = np.cumsum(lengths) - lengths
    labels = encoded.labels.joined(rows).astype(np.int64)
    index_T = np.repeat(np.arange(len(index)), lengths)
    places_T = np.arange(len(labels)) - starts[index_T]
    wanted = (labels != UNREAD) & (places_T + virtual >= encoded.learnable)
    index_S, places_S = index_T[wanted], places_T[wanted]
    weights_S = encoded.weights[index][index_S].astype(np.float32)
    if encoded.token_weights is not None:
        weights_S = weights_S * encoded.token_weights[encoded.labels.offsets[index][index_S] + places_S]
    return Asked(index_S, places_S, labels[wanted], weights_S)


def lay(encoded: Encoded, rows: Sequence[int], what: Asked, levers: Levers, virtual: int = 0) -> Lesson:
    """Lay rows end to end, with room for `virtual` tokens in front of each. There must be something to read."""
    index = np.asarray(rows, dtype=np.int64)
    lengths_N = encoded.ids.lengths_of(index)
    needed_N = _needed(what, lengths_N, virtual) if levers.reads else lengths_N + virtual
    tokens = [encoded.ids[r][: max(0, n - virtual)] for r, n in zip(rows, needed_N.tolist(), strict=True)]
    laid = _arranged(tokens, needed_N, virtual, prefix=levers.prefix)
    row_T, place_T = laid.spread()
    real_T, own_T = place_T >= virtual, place_T - virtual
    ids_T = np.zeros(len(row_T), dtype=np.int64)
    ids_T[real_T] = encoded.ids.flat[(encoded.ids.offsets[index][row_T] + own_T)[real_T]]
    takes_T = np.where(real_T, (np.cumsum(lengths_N) - lengths_N)[row_T] + own_T, -1)
    keys_S = (laid.where(what.index_S, what.places_S + virtual - 1) << 32) | what.labels_S
    unread = np.setdiff1d(np.arange(0 if levers.head else len(ids_T)), keys_S >> 32)
    keys_Q = np.unique(np.concatenate([keys_S, unread << 32]))
    reads_Q = keys_Q >> 32
    bounds = np.searchsorted(reads_Q, np.append(laid.starts, len(ids_T)))
    begins = laid.starts[[p.first == 0 for p in laid.pieces]]
    pack = Pack(
        rows=list(rows),
        ids_T=torch.from_numpy(ids_T),
        types_T=None,
        positions_T=torch.from_numpy(place_T),
        runs=laid.runs,
        reads_Q=torch.from_numpy(reads_Q),
        virtual_BP=torch.from_numpy(begins[:, None] + np.arange(virtual)) if virtual else None,
        asked=[reads_Q[a:b] - s for a, b, s in zip(bounds[:-1], bounds[1:], laid.starts, strict=True)],
    )
    return Lesson(
        pack=pack,
        takes_T=takes_T,
        labels_Q=torch.from_numpy(keys_Q & 0xFFFFFFFF),
        back_S=torch.from_numpy(np.searchsorted(keys_Q, keys_S)),
        saved=int((lengths_N + virtual).sum()) - len(ids_T),
    )


def _needed(what: Asked, lengths_N: Ints, virtual: int) -> Ints:
    """Tokens of each row, virtual ones included, up to the last that is read."""
    needed_N = np.zeros_like(lengths_N)
    np.maximum.at(needed_N, what.index_S, what.places_S + virtual)
    return needed_N


@dataclass
class _Laid:
    """Where the tokens of each row lie."""

    pieces: list[_Piece]
    """In the order in which they lie."""
    runs: list[Run]
    shared_N: Ints
    """How many tokens of each row lie with those of other rows."""
    begin_N: Ints
    """Where these begin."""
    own_N: Ints
    """Where the others begin."""

    @property
    def starts(self) -> Ints:
        """Where each piece begins."""
        lengths: Ints = np.array([p.end - p.first for p in self.pieces], dtype=np.int64)
        return np.asarray(np.cumsum(lengths) - lengths)

    def spread(self) -> tuple[Ints, Ints]:
        """Row and place in it of each packed token, (T,) each."""
        rows = [np.full(p.end - p.first, p.row) for p in self.pieces]
        return np.concatenate(rows), np.concatenate([np.arange(p.first, p.end) for p in self.pieces])

    def where(self, index_S: Ints, places_S: Ints) -> Ints:
        """Where in T places of rows are."""
        shared_S = self.shared_N[index_S]
        starts_S = np.asarray(
            np.where(places_S < shared_S, self.begin_N[index_S], self.own_N[index_S] - shared_S), dtype=np.int64
        )
        return np.add(starts_S, places_S)


def _arranged(tokens: Sequence[NDArray[np.int32]], needed_N: Ints, virtual: int, *, prefix: bool) -> _Laid:
    """Rows that stand alone, shortest first, then each group behind what it shares."""
    groups = shared_beginnings(tokens, needed_N, virtual) if prefix else []
    laid = _Laid([], [], *(np.zeros_like(needed_N) for _ in range(3)))
    alone = set(np.flatnonzero(needed_N).tolist()) - {i for members, _ in groups for i in members}
    end = 0
    for members, shared in [(sorted(alone), 0), *groups]:
        before = (end, shared) if shared else (0, 0)
        if shared:
            laid.shared_N[members], laid.begin_N[members] = shared, end
            laid.pieces.append(_Piece(members[0], 0, shared))
            laid.runs.append(Run(end, shared, 1))
            end += shared
        ordered = sorted(members, key=lambda i: (int(needed_N[i]), i))
        laid.runs += runs_of(needed_N[ordered] - shared, end, before)
        for i in ordered:
            laid.own_N[i] = end
            laid.pieces.append(_Piece(i, shared, int(needed_N[i])))
            end += int(needed_N[i]) - shared
    return laid


def shared_beginnings(
    tokens: Sequence[NDArray[np.int32]], needed_N: Ints, virtual: int = 0
) -> list[tuple[list[int], int]]:
    """Groups of rows with the number of tokens (virtual ones included) that each group begins with.

    Rows are sorted like words in a dictionary, so that those with a common beginning are neighbours; a group that
    would save more in parts is divided where neighbours have the least in common. Every row keeps a token of its own.
    """
    order = [i for i in np.flatnonzero(needed_N).tolist() if needed_N[i] > virtual]
    order.sort(key=lambda i: (tokens[i].astype(">i4").tobytes(), i))
    common = [
        min(virtual + _common(tokens[a], tokens[b]), int(needed_N[a]) - 1, int(needed_N[b]) - 1)
        for a, b in pairwise(order)
    ]
    _, spans = _best(common, 0, len(order) - 1, 0)
    groups = [([order[i] for i in range(a, b + 1)], shared) for a, b, shared in spans]
    return [(g, n) for g, n in groups if (len(g) - 1) * n >= WORTH * needed_N[g].sum()]


def _common(a: NDArray[np.int32], b: NDArray[np.int32]) -> int:
    """Tokens with which both begin."""
    shorter = min(len(a), len(b))
    differs = np.flatnonzero(a[:shorter] != b[:shorter])
    return int(differs[0]) if len(differs) else shorter


def _best(common: Sequence[int], first: int, last: int, depth: int) -> tuple[int, list[tuple[int, int, int]]]:
    """(tokens saved, spans (first, last, shared)) for the sorted rows from `first` to `last`."""
    if last <= first:
        return 0, []
    least = min(common[first:last])
    whole = (last - first) * least if least >= LEAST else 0
    cuts = [k for k in range(first, last) if common[k] == least]
    parts = zip([first, *(k + 1 for k in cuts)], [*cuts, last], strict=True)
    found = [_best(common, a, b, depth + 1) for a, b in parts] if depth < _NESTED else []
    saved = sum(s for s, _ in found)
    if whole and whole >= saved:
        return whole, [(first, last, least)]
    return saved, [span for _, spans in found for span in spans]

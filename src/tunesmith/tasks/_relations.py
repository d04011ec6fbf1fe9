"""How texts of retrieval belong together: which passages answer which query, and where they stand in a ranking.

Passages and queries are numbered by their text (or, with a corpus file, by their place in it), so that a passage that
stands in several rows is one passage, and never a wrong answer to a question that another row says it answers.

Shape letters: N rows, S sequences (texts of all rows), Q queries, D passages, H width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tunesmith.tasks import Array, Encoded

if TYPE_CHECKING:
    from torch import Tensor

Ints = NDArray[np.int64]
CELLS = 1 << 24
"""Most similarities that are held at once."""


@dataclass
class Relations:
    """Of the rows of one split."""

    query_N: Ints
    """Number of each row's query."""
    passage_S: Ints
    """Number of each sequence's passage; -1 for queries, which are the first sequence of a row."""
    passages: int
    """D: how many passages can be found."""
    known: Ints
    """Sorted codes query x D + passage of everything that is known to be right."""
    corpus: Encoded | None
    """All passages, where they have a file of their own; else they are those of the rows."""

    @property
    def first_seen(self) -> Ints:
        """The first sequence that holds each passage, where they are those of the rows."""
        numbers, first = np.unique(self.passage_S, return_index=True)
        return first[numbers >= 0]

    @property
    def first_asked(self) -> Ints:
        """The first row that asks each query."""
        return np.unique(self.query_N, return_index=True)[1]

    def right(self, query_B: Ints, passage_C: Ints) -> NDArray[np.bool_]:
        """(B, C): whether a passage is known to answer a query."""
        codes_BC = query_B[:, None] * self.passages + passage_C
        if not len(self.known):
            return np.zeros(codes_BC.shape, dtype=bool)
        place_BC = np.searchsorted(self.known, codes_BC).clip(max=len(self.known) - 1)
        found: NDArray[np.bool_] = self.known[place_BC] == codes_BC
        return found

    def own(self, encoded: Encoded) -> Ints:
        """Number of each row's positive passage."""
        assert encoded.bounds is not None
        return self.passage_S[encoded.bounds[:-1] + 1]


@dataclass
class Pull:
    """A step that runs in pieces: what its loss, computed over all rows at once, wants of each vector (the gradient
    cache of Gao et al. 2021, https://arxiv.org/abs/2101.06983).

        sum(vectors * pull)        has for the network the very gradient of the loss of the whole step

    The vectors were computed once without a graph; each piece draws its dropout from a seed of its own, both times.
    """

    seed: int
    of_row: "dict[int, Tensor]"
    """Row -> gradient (K, H) of the loss by the states of its sequences."""
    loss: float
    """Of the whole step, divided by its rows."""
    beside: "tuple[tuple[Tensor, Tensor], ...]" = ()
    """Single parameters that the loss reads, each with its gradient of the whole step."""

    def wanted(self, states_SH: "Tensor", rows: Sequence[int]) -> "Tensor":
        """These rows' share of the loss, with the gradient of the whole."""
        import torch

        pulled = (states_SH * torch.cat([self.of_row[r] for r in rows])).sum()
        for parameter, gradient in self.beside:
            pulled = pulled + (parameter * gradient).sum() * len(rows) / len(self.of_row)
        return pulled - pulled.detach() + self.loss * len(rows)


def seed_piece(seed: int, rows: Sequence[int]) -> None:
    """Draw what a piece draws from a seed that both its passes share."""
    import torch

    torch.manual_seed(int(np.random.SeedSequence([seed, int(rows[0]), 5]).generate_state(1, np.uint64)[0] >> 1))


def number(texts: Sequence[str]) -> Ints:
    """(N,): number of each text, in order of appearance."""
    known: dict[str, int] = {}
    return np.fromiter((known.setdefault(text, len(known)) for text in texts), np.int64, len(texts))


def standings(relations: Relations, own_N: Ints, score: Callable[[Ints], Array]) -> Array:
    """(N,): the place, from 1, of each row's passage in the ranking of its query. `score` gives the scores (some, D) of
    some queries, by number. Among equal scores the lower passage number stands first."""
    out = np.empty(len(own_N), dtype=np.float64)
    queries = len(relations.first_asked)
    step = max(1, CELLS // max(1, relations.passages))
    for start in range(0, queries, step):
        some = np.arange(start, min(start + step, queries))
        score_BD = score(some)
        for row in np.flatnonzero((relations.query_N >= some[0]) & (relations.query_N <= some[-1])):
            score_D, own = score_BD[relations.query_N[row] - start], own_N[row]
            out[row] = 1 + (score_D > score_D[own]).sum() + (score_D[:own] == score_D[own]).sum()
    return out


def hard(
    similarity: Callable[[Ints], Array], relations: Relations, own_N: Ints, count: int, skip: int, margin: float
) -> list[Ints]:
    """For each row up to `count` passages most like its query that are not known to answer it, most similar first.

    `skip` of them are passed over; a passage more similar than (1 - margin) times the row's own positive may be an
    answer that nobody marked, and is left out (Moreira et al. 2024, https://arxiv.org/abs/2407.15831, TopK-PercPos).
    """
    found: list[Ints] = [np.empty(0, dtype=np.int64)] * len(own_N)
    every = np.arange(relations.passages)
    for row in np.argsort(relations.query_N, kind="stable"):
        query = relations.query_N[row : row + 1]
        near_D = similarity(query)[0].astype(np.float64)
        limit = near_D[own_N[row]] - abs(near_D[own_N[row]]) * margin
        near_D = np.where(relations.right(query, every)[0], -np.inf, near_D)
        reach = min(len(near_D), skip + count + int((near_D > limit).sum()))
        first = np.sort(np.argpartition(-near_D, reach - 1)[:reach])
        order = first[np.argsort(-near_D[first], kind="stable")][skip:]
        found[row] = order[(near_D[order] <= limit) & np.isfinite(near_D[order])][:count]
    return found

"""Rows as a network reads them. Shape letters: N rows, B rows of a batch, C outputs, S side features."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunesmith import scratch
from tunesmith.data.pixels import Pixels
from tunesmith.data.ragged import Ragged
from tunesmith.data.waves import Waves
from tunesmith.data.words import Words, ranges

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tunesmith.tasks._blend import Blend
    from tunesmith.tasks._masking import Masking
    from tunesmith.tasks._paired import Paired
    from tunesmith.tasks._relations import Pull, Relations

Array = NDArray[Any]
Rows = Sequence[int] | NDArray[np.int64]
"""Numbers of rows."""


@dataclass
class Slots:
    """Where a language model is read to classify: `count` places in a row each, from `first` on."""

    first: NDArray[np.int32]
    """(N,)."""
    count: int

    def places(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """(B, count): the places of some rows."""
        return self.first[np.asarray(rows, dtype=np.int64), None].astype(np.int64) + np.arange(self.count)


@dataclass
class Windows:
    """Texts whose answers belong to words, cut into windows, which are the rows that the network reads. Each word is
    answered in one of them. Shape letters: W windows, M words."""

    texts: NDArray[np.int64]
    """(N + 1,): where the windows of each text begin."""
    parts: NDArray[np.int64]
    """(W + 1,): where the words that each window answers begin."""
    places: NDArray[np.int64]
    """(M,): which of the places that its window reads is a word's."""
    follows: NDArray[np.bool_]
    """(M,): whether the tokenizer put it into one piece with the word before it, which it can only continue."""

    def pick(self, texts: NDArray[np.int64]) -> "tuple[Windows, NDArray[np.int64]]":
        """The windows of some texts, and their numbers."""
        own = ranges(self.texts, texts)
        words = ranges(self.parts, own)
        counts = (np.diff(self.texts)[texts], np.diff(self.parts)[own])
        texts, parts = (np.concatenate([[0], np.cumsum(count)]) for count in counts)
        return Windows(texts, parts, self.places[words], self.follows[words]), own


@dataclass
class Encoded:
    """N rows as the network reads them, unpadded."""

    ids: Ragged
    types: Ragged | None
    """Token type ids where the tokenizer makes them (pairs of BERT-type bases)."""
    lost: NDArray[np.int32]
    """(N,): tokens cut off by `max_tokens`."""
    targets: Array | None
    """(N,) int64 classes, (N, C) float32 of 0/1, or (N,) float32; None for rows to predict."""
    side: Array | None
    """(N, S) float32."""
    weights: Array
    """(N,) float32: weight of each row in the loss."""
    labels: Ragged | None = None
    """For language models: beside each token the token to be predicted in its place, as a rule itself, or -100 where
    nothing is learnt. Predicted from the tokens before it: nothing is shifted here, and place 0 has no prediction."""
    apart: bool = False
    """For encoder-decoders: `ids` are sources, and `labels` targets of their own lengths, predicted from place 0 on."""
    token_weights: NDArray[np.float32] | None = None
    """(M,) beside `labels.flat`: weight of each label in the loss, on top of its row's. None: 1."""
    references: Sequence[tuple[str, ...]] | None = None
    """Texts that are right answers for each row, for tasks that write."""
    lost_labels: NDArray[np.int32] | None = None
    """(N,): how many of the lost tokens were to be learnt."""
    sizes: NDArray[np.int64] | None = None
    """(N,): UTF-8 bytes of what is learnt."""
    slots: Slots | None = None
    """Where label words are read; None for networks with a head, which know where they read."""
    others: "tuple[Encoded, ...]" = ()
    """The same rows in the other forms of their wording, where label words have several tokens."""
    inner: "Encoded | None" = None
    """Where a row is several sequences: these, 2 N of them unless `bounds` says otherwise, row r being 2 r and 2 r + 1.
    `ids` are the same flat numbers with fewer offsets, so that batches and budgets count rows; networks read these."""
    bounds: NDArray[np.int64] | None = None
    """(N + 1,): row r is the inner sequences bounds[r] to bounds[r + 1]."""
    relations: "Relations | None" = None
    """How the sequences of rows belong together, for tasks that compare vectors."""
    pull: "Pull | None" = None
    """What the loss of a whole step wants of each vector, where the step is run in several pieces (`Task.faced`)."""
    reference: NDArray[np.float64] | None = None
    """(N, 2): log-probability of both sequences under the model as it was before training (`reference.refer`)."""
    mix: Any = None
    """What the images of a step were mixed with (`_augment.Mix`)."""
    paired: "Paired | None" = None
    """Where a row is an image and a text: these, each once. `ids` then say no more than how much a row counts."""
    pixels: Pixels | None = None
    """Images in place of tokens. `ids` then say nothing but how much each counts: a token for 16 x 16 pixels."""
    waves: Waves | None = None
    """Clips in place of tokens. `ids` then say how many steps in time the network makes of each."""
    queries: NDArray[np.int64] | None = None
    """(N,): which rows are candidates for one question, where they are to be ranked."""
    beside: "Encoded | None" = None
    """The images of these rows, for a second tower (`engine.tower`)."""
    reads: Ragged | None = None
    """Where a head reads any number of places of a row: these, ascending. Targets then are theirs, end to end."""
    windows: Windows | None = None
    """Where answers belong to words: how texts became rows."""
    words: Words | None = None
    """The words of these texts; outputs are one each."""
    target: NDArray[np.bool_] | None = None
    """(N,): which rows are of the target domain, where rows to learn from come from two."""
    blend: "Blend | None" = None
    """Which rows make an epoch, where they are of several kinds (domains, tasks); None: each row once."""
    masking: "Masking | None" = None
    """How tokens are hidden, where each step hides others (`Task.faced`)."""
    notes: tuple[str, ...] = ()
    """What a user should know of these rows."""
    part: NDArray[np.int16] | None = None
    """(N,): which of several tasks each row is for."""
    views: "tuple[tuple[list[int], Encoded], ...]" = ()
    """Rows to predict, where several tasks read a row in different ways: outputs, and the rows that answer them."""
    soft: Array | None = None
    """(N, C) float32: what the loss aims at where labels are distributions; `targets` then are the likeliest."""
    drift: float | None = None
    """How far the model has moved from the reference, for losses that ask (`Task.faced`)."""

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of_pixels(cls, pixels: Pixels, targets: Array | None, weights: Array) -> "Encoded":
        """Images as rows; `ids` say how much each counts."""
        offsets = np.arange(len(pixels) + 1, dtype=np.int64) * pixels.places
        nothing = np.broadcast_to(np.int32(0), int(offsets[-1]))
        lost = scratch.room(len(pixels), np.int32)
        return cls(Ragged(nothing, offsets), None, lost, targets, None, weights, pixels=pixels)

    def few(self, rows: Sequence[int]) -> "Encoded":
        """Some rows of images or sounds."""
        index = list(rows)
        return replace(
            self, ids=self.ids.pick(index), lost=self.lost[index], weights=self.weights[index],
            targets=None if self.targets is None else self.targets[index],
            soft=None if self.soft is None else self.soft[index],
            pixels=None if self.pixels is None else self.pixels.pick(index),
            waves=None if self.waves is None else self.waves.pick(index),
        )  # fmt: skip

    def worded(self, vocabulary: int) -> "Encoded":
        """Without virtual tokens, which have numbers from `vocabulary` on: as a network reads them that has none."""
        if self.inner is not None:
            inner = self.inner.worded(vocabulary)
            return self if inner is self.inner else replace(self, ids=inner.ids.by_twos(), inner=inner)
        if self.apart or not self.ids.size or int(self.ids.flat.max()) < vocabulary:
            return self
        words_T = self.ids.flat < vocabulary
        return replace(
            self, ids=self.ids.only(words_T), labels=None if self.labels is None else self.labels.only(words_T),
            token_weights=None if self.token_weights is None else self.token_weights[words_T],
        )  # fmt: skip

    @property
    def forms(self) -> "tuple[Encoded, ...]":
        """These rows in every form that the network reads; most tasks have one."""
        return (self, *self.others)

    @property
    def redrawn(self) -> bool:
        """Whether steps show these rows otherwise than they lie here, so that nothing below can be kept."""
        return self.masking is not None or (self.pixels is not None and bool(self.pixels.augment))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,): tokens of each row, those of a target of its own included."""
        return self.extents.lengths

    @property
    def extents(self) -> Ragged:
        """Where rows would lie end to end, those of a target of its own included: to be asked for lengths alone."""
        if self.apart and self.labels is not None:
            return Ragged(self.ids.flat, self.ids.offsets + self.labels.offsets)
        return self.ids

    @property
    def learnable(self) -> int:
        """First place of a row whose label can be predicted: something must stand before it."""
        return 0 if self.apart else 1

    def sequences(self, rows: "Rows") -> list[int]:
        """Numbers of the inner sequences of some rows, row by row."""
        bounds = np.arange(len(self) + 1) * 2 if self.bounds is None else self.bounds
        return [s for r in rows for s in range(int(bounds[r]), int(bounds[r + 1]))]

    def aims(self, rows: Sequence[int], device: "torch.device") -> "tuple[Tensor, Tensor]":
        """(targets, weights) of some rows, or of the places that are read in them."""
        import torch

        assert self.targets is not None, "rows to learn from have targets"
        index = np.asarray(rows, dtype=np.int64)
        weights = self.weights[index]
        if self.reads is not None:
            weights = np.repeat(weights, self.reads.lengths_of(index))
            index = ranges(self.reads.offsets, index)
        aims = self.targets if self.soft is None else self.soft
        return torch.from_numpy(aims[index]).to(device), torch.from_numpy(weights).to(device)

    @property
    def num_outputs(self) -> int:
        """How many outputs these rows have."""
        return len(self) if self.words is None else len(self.words)

    def outputs_of(self, rows: Rows) -> Rows:
        """Which outputs are those of some rows."""
        return rows if self.windows is None else ranges(self.windows.parts, np.asarray(rows, dtype=np.int64))

    def side_of(self, rows: Sequence[int]) -> "Tensor | None":
        """Side features (B, S) of some rows."""
        import torch

        return None if self.side is None else torch.from_numpy(self.side[list(rows)])

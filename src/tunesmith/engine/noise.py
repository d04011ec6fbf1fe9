"""Embeddings of words while training: uniform noise on them (NEFTune), and what a penalty blots out of them.

    e' = f e + u        u ~ U(-a, a)        a = alpha / sqrt(T H)        f: 1, or the factor of a penalty (cutoff)

Jain et al. 2023, https://arxiv.org/abs/2310.05914. T is the length of the row itself, in whatever way it is run: what
padding adds, what packing leaves out and virtual tokens do not count. The noise of a row is drawn from (seed, row)
alone, so that packed and padded rows, and a step cut into other pieces, see the same; a resumed run draws it again.

Shape letters: T tokens of a row, H width of its word embeddings, L places of a forward pass.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tunesmith.bases.family import plain

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from tunesmith.engine.batches import Ints
    from tunesmith.tasks import Encoded

NOWHERE = -1
Shade = Callable[[int, int, Any, int], torch.Tensor]
"""(seed of the step, number of a row, its tokens (T,), H) -> what embeddings are multiplied by, as it spreads over
(T, H)."""


class Noise:
    """Noise of one network. It is heard only within `over`, after a step has set the seed. An alpha of 0 draws none."""

    def __init__(self, auto: "nn.Module", alpha: float) -> None:
        self.alpha = alpha
        self.seed: int | None = None
        """Of the step; None: silence."""
        self.shade: Shade | None = None
        """What word embeddings are multiplied by, now."""
        self._now: tuple[torch.Tensor | None, torch.Tensor | None] = None, None
        words: Any = plain(auto).get_input_embeddings()  # type: ignore[operator]
        self.vocabulary, self.width = map(int, words.weight.shape)
        self._hook = words.register_forward_hook(self._heard)

    def remove(self) -> None:
        """Leave the network as it was."""
        self._hook.remove()

    def row(self, number: int, length: int) -> torch.Tensor:
        """(T, H) float32: the noise of a row in this step."""
        assert self.seed is not None, "a step sets the seed"
        seed = int(np.random.SeedSequence([self.seed, number, 4]).generate_state(1, np.uint64)[0] >> 1)
        generator = torch.Generator().manual_seed(seed)
        largest = self.alpha / (length * self.width) ** 0.5
        return torch.empty(length, self.width).uniform_(-largest, largest, generator=generator)

    @contextmanager
    def shading(self, shade: Shade) -> Iterator[None]:
        """Within the block, embeddings of words are multiplied by what `shade` says of their row."""
        self.shade = shade
        try:
            yield
        finally:
            self.shade = None

    def _words(self, words_T: "NDArray[np.bool_]", own: torch.Tensor, elsewhere: float) -> torch.Tensor:
        """(T, H): what belongs to a row's words at their places, and that number at the virtual tokens within it."""
        made = torch.full((len(words_T), self.width), elsewhere)
        made[torch.from_numpy(words_T)] = own
        return made

    def _laid(
        self, encoded: "Encoded", rows: Sequence[int], elsewhere: float, own: "Callable[[int, Any], torch.Tensor]"
    ) -> torch.Tensor:
        """What belongs to the words of all rows, end to end; the last line is for NOWHERE, which takes it."""
        made = []
        for row in map(int, rows):
            words_T = encoded.ids[row] < self.vocabulary
            made.append(self._words(words_T, own(row, encoded.ids[row][words_T]), elsewhere))
        return torch.cat([*made, torch.full((1, self.width), elsewhere)])

    @contextmanager
    def over(self, encoded: "Encoded", rows: Sequence[int], takes: "Ints") -> Iterator[None]:
        """Within the block word embeddings are disturbed. `takes` has the shape of the token ids of the forward pass
        and says which token each is, counted over all rows end to end; NOWHERE for padding and virtual tokens."""
        places, shade, seed = torch.from_numpy(takes), self.shade, self.seed
        assert seed is not None, "a step sets the seed"
        factor = noise = None
        if shade is not None:
            factor = self._laid(encoded, rows, 1.0, lambda row, ids: shade(seed, row, ids, self.width))[places]
        if self.alpha:
            noise = self._laid(encoded, rows, 0.0, lambda row, ids: self.row(row, len(ids)))[places]
        self._now = factor, noise
        try:
            yield
        finally:
            self._now = None, None

    def _heard(self, module: "nn.Module", inputs: Any, words: torch.Tensor) -> torch.Tensor:
        factor, noise = self._now
        if factor is not None:
            words = words * factor.to(words).reshape(words.shape)
        return words if noise is None else words + noise.to(words).reshape(words.shape)


@contextmanager
def noisy(net: Any, encoded: "Encoded", rows: Sequence[int], takes: Any) -> Iterator[None]:
    """`Noise.over` where the network has noise and is in a step of training; else nothing. `takes` is called then."""
    if not heard(net):
        yield
        return
    with net.noise.over(encoded, rows, takes()):
        yield


def heard(net: Any) -> bool:
    """Whether a forward pass disturbs embeddings of words now."""
    noise = net.noise
    return noise is not None and noise.seed is not None and net.training and bool(noise.alpha or noise.shade)


def padded(encoded: "Encoded", rows: Sequence[int]) -> "Ints":
    """`takes` of right-padded rows, (B, T of the longest)."""
    lengths = encoded.ids.lengths_of(rows)
    starts = np.cumsum(lengths) - lengths
    places = np.arange(int(lengths.max()))
    return np.asarray(np.where(places < lengths[:, None], starts[:, None] + places, NOWHERE), dtype=np.int64)


def packed(encoded: "Encoded", rows: Sequence[int], virtual: int) -> "Ints":
    """`takes` of rows end to end with `virtual` tokens in front of each."""
    lengths = encoded.ids.lengths_of(rows)
    starts = np.cumsum(lengths) - lengths
    found = [np.r_[np.full(virtual, NOWHERE), start + np.arange(n)] for start, n in zip(starts, lengths, strict=True)]
    return np.concatenate(found).astype(np.int64)

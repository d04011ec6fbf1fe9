"""NEFTune: uniform noise on the embeddings of words while training.

    e' = e + u        u ~ U(-a, a)        a = alpha / sqrt(T H)

Jain et al. 2023, https://arxiv.org/abs/2310.05914. T is the length of the row itself, in whatever way it is run: what
padding adds, what packing leaves out and virtual tokens do not count. The noise of a row is drawn from (seed, row)
alone, so that packed and padded rows, and a step cut into other pieces, see the same; a resumed run draws it again.

Shape letters: T tokens of a row, H width of its word embeddings, L places of a forward pass.
"""

from collections.abc import Iterator, Sequence
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


class Noise:
    """Noise of one network. It is heard only within `over`, after a step has set the seed."""

    def __init__(self, auto: "nn.Module", alpha: float) -> None:
        self.alpha = alpha
        self.seed: int | None = None
        """Of the step; None: silence."""
        self._now: torch.Tensor | None = None
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

    def _words(self, number: int, words_T: "NDArray[np.bool_]") -> torch.Tensor:
        """(T, H): the noise of a row's words, and none of the virtual tokens that stand within it."""
        if words_T.all():
            return self.row(number, len(words_T))
        made = torch.zeros(len(words_T), self.width)
        made[torch.from_numpy(words_T)] = self.row(number, int(words_T.sum()))
        return made

    @contextmanager
    def over(self, encoded: "Encoded", rows: Sequence[int], takes: "Ints") -> Iterator[None]:
        """Within the block word embeddings are noisy. `takes` has the shape of the token ids of the forward pass and
        says which token each is, counted over all rows end to end; NOWHERE for padding and virtual tokens."""
        made = [self._words(int(r), encoded.ids[r] < self.vocabulary) for r in rows]
        silent = torch.zeros(1, self.width)
        self._now = torch.cat([*made, silent])[torch.from_numpy(takes)]  # NOWHERE takes the last
        try:
            yield
        finally:
            self._now = None

    def _heard(self, module: "nn.Module", inputs: Any, words: torch.Tensor) -> torch.Tensor:
        if self._now is None:
            return words
        return words + self._now.to(words).reshape(words.shape)


@contextmanager
def noisy(net: Any, encoded: "Encoded", rows: Sequence[int], takes: Any) -> Iterator[None]:
    """`Noise.over` where the network has noise and is in a step of training; else nothing. `takes` is called then."""
    if not heard(net):
        yield
        return
    with net.noise.over(encoded, rows, takes()):
        yield


def heard(net: Any) -> bool:
    """Whether a forward pass draws noise now."""
    return net.noise is not None and net.noise.seed is not None and net.training


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

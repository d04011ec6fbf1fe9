"""Clips of many rows as a network reads them: waveforms of their own lengths, or spectrograms of one size.

Shape letters: N rows, B rows of a batch, M numbers of all rows, T steps in time (samples of a waveform).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.files import digest_bytes, digest_json

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Waves:
    """N clips."""

    flat: NDArray[np.float32]
    """(M,): all clips end to end, in a file when they are many."""
    offsets: NDArray[np.int64]
    """(N + 1,): where each clip begins."""
    name: str
    """What the network calls its input."""
    masked: bool = False
    """Whether the base was pretrained to be told what is padding. Where not, padding would change its answers: clips of
    different lengths never share a forward pass."""
    shape: tuple[int, ...] = ()
    """Of every clip, where clips are spectrograms; of a waveform, its length alone."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,): numbers of each clip."""
        return np.diff(self.offsets)

    def clip(self, row: int) -> NDArray[np.float32]:
        """One clip, (T,) or of `shape`."""
        own = self.flat[self.offsets[row] : self.offsets[row + 1]]
        return own.reshape(self.shape) if self.shape else own

    def padded(self, rows: Sequence[int]) -> "Tensor":
        """Some clips, (B, T) or (B, *shape) float32, zeros behind short ones."""
        import torch

        out = np.zeros((len(rows), int(self.lengths[list(rows)].max())), dtype=np.float32)
        for place, row in enumerate(rows):
            own = self.flat[self.offsets[row] : self.offsets[row + 1]]
            out[place, : len(own)] = own
        return torch.from_numpy(out.reshape(len(rows), *self.shape) if self.shape else out)

    def inputs(self, rows: Sequence[int]) -> "dict[str, Tensor]":
        """What the network is given of some rows: the clips, and, where it was pretrained so, a mask (B, T)."""
        import torch

        lengths = self.lengths[list(rows)]
        given: dict[str, Any] = {self.name: self.padded(rows)}
        if self.masked:
            mask_BT = np.arange(int(lengths.max())) < lengths[:, None]
            given["attention_mask"] = torch.from_numpy(mask_BT.astype(np.int64))
        else:
            assert (lengths == lengths[0]).all(), "padding would change what this base says"
        return given

    def pick(self, rows: "Sequence[int] | NDArray[np.int64]") -> "Waves":
        """Some clips, in the order asked for."""
        index = [int(r) for r in rows]
        flat = np.concatenate([self.flat[:0], *(self.flat[self.offsets[r] : self.offsets[r + 1]] for r in index)])
        offsets = np.concatenate([[0], np.cumsum(self.lengths[index])]).astype(np.int64)
        return Waves(flat, offsets, self.name, self.masked, self.shape)

    @property
    def digest(self) -> str:
        """sha256 of all that the network is given."""
        whole = [digest_bytes(np.ascontiguousarray(a).data) for a in (self.flat, self.offsets)]
        return digest_json([*whole, self.name, self.masked, list(self.shape)])

"""Images of many rows as they are read: eight bits a number, in a file when they are many, normalised when asked for.

    values = scale * byte + shift        by channel, float32

Shape letters: N rows, B rows of a batch, C channels, H height, W width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.files import digest_bytes, digest_json

if TYPE_CHECKING:
    from torch import Tensor

PLACE = 16
"""An image counts as one token for each square of so many pixels a side."""


@dataclass(frozen=True)
class Pixels:
    """N images of one size."""

    bytes_NCHW: NDArray[np.uint8]
    scale_C: NDArray[np.float32]
    shift_C: NDArray[np.float32]
    augment: tuple[Any, ...] = ()
    """How they are changed when they are learnt from, by the task; nothing is changed here."""
    changed_NCHW: "Tensor | None" = None
    """Values that take the place of the images, for the rows of a step: augmented ones, in the order of `at`."""
    at: "dict[int, int] | None" = None
    """Row -> place in `changed_NCHW`."""
    there_N: NDArray[np.bool_] | None = None
    """Which rows have an image, where some may lack it; theirs is black."""

    def __len__(self) -> int:
        return len(self.bytes_NCHW)

    @property
    def places(self) -> int:
        """What an image counts as, in tokens."""
        height, width = self.bytes_NCHW.shape[2:]
        return int(-(-height // PLACE) * -(-width // PLACE))

    def raw(self, rows: "Sequence[int] | NDArray[np.int64]") -> "Tensor":
        """Some images in [0, 1], (B, C, H, W) float32, not normalised."""
        import torch

        return torch.from_numpy(self.bytes_NCHW[np.asarray(rows, dtype=np.int64)]).float() / 255

    def normal(self, raw_BCHW: "Tensor") -> "Tensor":
        """Images in [0, 1] as the network reads them."""
        import torch

        scale, shift = (torch.from_numpy(v)[:, None, None] for v in (self.scale_C * np.float32(255), self.shift_C))
        return raw_BCHW * scale + shift

    def values(self, rows: "Sequence[int] | NDArray[np.int64]") -> "Tensor":
        """Some images as the network reads them, (B, C, H, W) float32."""
        import torch

        if self.changed_NCHW is not None:
            assert self.at is not None, "changed rows have places"
            return self.changed_NCHW[[self.at[int(r)] for r in rows]]
        taken = torch.from_numpy(self.bytes_NCHW[np.asarray(rows, dtype=np.int64)]).float()
        return taken * torch.from_numpy(self.scale_C)[:, None, None] + torch.from_numpy(self.shift_C)[:, None, None]

    def pick(self, rows: "Sequence[int] | NDArray[np.int64]") -> "Pixels":
        """Some images, in the order asked for."""
        index = np.asarray(rows, dtype=np.int64)
        there_N = None if self.there_N is None else self.there_N[index]
        return Pixels(self.bytes_NCHW[index], self.scale_C, self.shift_C, there_N=there_N)

    @property
    def digest(self) -> str:
        """sha256 of all that the network is given."""
        whole = [digest_bytes(np.ascontiguousarray(a).data) for a in (self.bytes_NCHW, self.scale_C, self.shift_C)]
        return digest_json([*whole, list(self.bytes_NCHW.shape)])

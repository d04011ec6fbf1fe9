"""Rows of an image and a text: each distinct image and each distinct text once, and which belong together.

Shape letters: N rows, B rows of a step, I images, D texts, P width of the vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.data import Record
from tunesmith.data.ragged import Growing, Ragged
from tunesmith.data.record import DIGEST
from tunesmith.data.roles import text_of
from tunesmith.tasks import Encoded, Rows, Tick, _relations, _text
from tunesmith.tasks._pixels import pixels_of
from tunesmith.tasks._relations import Relations

if TYPE_CHECKING:
    from torch import Tensor

    from tunesmith.bases.processor import PairProcessor

Ints = NDArray[np.int64]


@dataclass
class Paired:
    """The images and texts of some rows."""

    images: Encoded
    texts: Encoded
    image_N: Ints
    """Number of each row's image."""
    text_N: Ints
    """Number of each row's text."""

    @property
    def known(self) -> Ints:
        """Sorted codes image x D + text of what belongs together."""
        return np.unique(self.image_N * len(self.texts) + self.text_N)

    def of(self, rows: Rows) -> tuple[tuple[Encoded, list[int]], tuple[Encoded, list[int]]]:
        """(images, numbers of these rows' images), (texts, numbers)."""
        index = np.asarray(rows, dtype=np.int64)
        return (self.images, self.image_N[index].tolist()), (self.texts, self.text_N[index].tolist())

    def captions(self) -> Relations:
        """Images ask, texts are found."""
        return Relations(self.image_N, self.text_N, len(self.texts), self.known, None)

    def pictures(self) -> Relations:
        """Texts ask, images are found."""
        known = np.unique(self.text_N * len(self.images) + self.image_N)
        return Relations(self.text_N, self.image_N, len(self.images), known, None)

    def hidden(self, rows: Rows) -> NDArray[np.bool_]:
        """(B, B): whether the text of a column is no wrong answer to the image of a row, and not the row's own: it is
        known to belong to it from any row, or has the row's own image or text."""
        index = np.asarray(rows, dtype=np.int64)
        image_B, text_B = self.image_N[index], self.text_N[index]
        hidden_BB = self.captions().right(image_B, text_B)
        hidden_BB |= (image_B[:, None] == image_B) | (text_B[:, None] == text_B)
        hidden_BB[np.arange(len(index)), np.arange(len(index))] = False
        return hidden_BB


def once(way: Any, encoded: Encoded, numbers: Sequence[int]) -> "Tensor":
    """Unit vectors (B, P) of images or texts by number, each run once however often it is named."""
    from torch.nn.functional import normalize

    distinct, place = np.unique(np.asarray(numbers, dtype=np.int64), return_inverse=True)
    return normalize(way.logits(encoded, distinct.tolist()), dim=1)[place]


def laid_out(
    records: Sequence[Record], image: str, text: str, processor: "PairProcessor", limit: int, tick: Tick
) -> Encoded:
    """Rows without targets; `ids` say nothing but how much each counts: its tokens, and a token for 16 x 16 pixels."""
    image_N = _relations.number([str(r.cells[DIGEST]) for r in records])
    texts = [text_of(r, text) for r in records]
    text_N = _relations.number(texts)
    first = np.unique(image_N, return_index=True)[1]
    images = read_images([records[int(r)] for r in first], image, processor)
    read = read_texts([texts[int(r)] for r in np.unique(text_N, return_index=True)[1]], processor, limit)
    tick(len(records))
    lengths = read.ids.lengths[text_N] + (images.ids.lengths[image_N] if len(records) else 0)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    weights = np.array([r.weight for r in records], dtype=np.float32)
    return Encoded(
        ids=Ragged(np.broadcast_to(np.int32(0), int(offsets[-1])), offsets), types=None, lost=read.lost[text_N],
        targets=None, side=None, weights=weights, paired=Paired(images, read, image_N, text_N),
    )  # fmt: skip


def read_images(records: Sequence[Record], column: str, processor: "PairProcessor") -> Encoded:
    """Images that the step `pictures` has seen, each a row."""
    weights = np.ones(len(records), dtype=np.float32)
    return Encoded.of_pixels(pixels_of(records, column, processor.images), None, weights)


def read_texts(texts: Sequence[str], processor: "PairProcessor", limit: int) -> Encoded:
    """Texts, each a row; at full length where the base reads them so."""
    growing, lost = Growing(), []
    for part in _text.pieces(len(texts)):
        ids, _, gone = _text.tokens(list(texts[part]), None, processor.tokenizer, limit)
        if processor.whole_text:
            ids = [row + [processor.pad_token_id] * (limit - len(row)) for row in ids]
        growing.extend(ids)
        lost += gone
    weights = np.ones(len(texts), dtype=np.float32)
    return Encoded(growing.done(), None, np.array(lost, dtype=np.int32), None, None, weights)

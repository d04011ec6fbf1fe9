"""What `transcribe` does with a base that writes with a decoder: labels, and what is read of a clip.

outputs of a row    nll, tokens, hits, bytes, and the letters of the text that is heard as code points, then -1
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tunesmith.data import Record
from tunesmith.data.overlap import rows_shown
from tunesmith.errors import TunesmithError
from tunesmith.tasks import Array, Encoded

if TYPE_CHECKING:
    from torch import Tensor

    from tunesmith.bases.dictating import DictationProcessor

READ = 4
"""Numbers before the letters."""


def labels(record: Record, text: str, processor: "DictationProcessor") -> list[int]:
    """Tokens of a text, those of the language and the end with them."""
    ids = processor.labels(text)
    if len(ids) > processor.longest_text:
        raise TunesmithError(
            f"{rows_shown([record])}: a text of {len(ids)} tokens, and the decoder has {processor.longest_text} "
            "places. Cut the clip and its text in two, or take the row out"
        )
    return ids


def step_loss(way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
    """Sum over tokens, each by the weight of its row."""
    outcome = way.losses(encoded, rows)
    total: Tensor = (outcome.losses_S * outcome.weights()).sum()
    return total


def read(way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
    """(B, 4 + letters)."""
    import torch

    out = torch.full((len(rows), READ + way.letters), -1.0)
    out[:, :READ] = 0
    for place, text in enumerate(way.heard(encoded, rows)):
        out[place, READ : READ + len(text)] = torch.tensor([float(ord(letter)) for letter in text])
    if encoded.labels is not None:
        outcome = way.scores(encoded, rows)
        index_S = torch.from_numpy(outcome.asked.index_S)
        columns = (outcome.losses_S, torch.ones_like(outcome.losses_S), outcome.hits_S)
        for place, values in enumerate(columns):
            out[:, place].index_add_(0, index_S, values.detach().cpu().float())
        assert encoded.sizes is not None, "rows with texts know their lengths"
        out[:, 3] = torch.from_numpy(encoded.sizes[list(rows)].astype(np.float32))
    return out


def text(letters: Array) -> str:
    """What these code points say."""
    return "".join(chr(int(n)) for n in letters if n >= 0)


def as_read(logits: Sequence["Tensor"], labels_NL: "Tensor", golden_NC: Array) -> Array:
    """The same numbers from the logits (1, L, V) that the library gives for each golden row and its labels. What was
    written is no matter of one forward pass: it is taken from the stored outputs, and the reload proof writes it
    again."""
    from torch.nn import functional

    out = np.array(golden_NC, dtype=np.float32)
    for row, logits_1LV in enumerate(logits):
        wanted = labels_NL[row][labels_NL[row] >= 0]
        losses = functional.cross_entropy(logits_1LV[0], wanted, reduction="none").double()
        out[row, :3] = float(losses.sum()), len(wanted), int((logits_1LV[0].argmax(-1) == wanted).sum())
    return out

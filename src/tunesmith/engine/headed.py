"""Ways through the library's own forward pass: the head and the loss only where a label stands.

    head      states before the head -> head and loss, one walk over the vocabulary in slabs
    no head   every logit is held, as the reference that the other is proven against

Shape letters: S supervised positions, H width, V vocabulary.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tunesmith.bases.family import plain
from tunesmith.engine import chunked_loss
from tunesmith.engine.language import LanguageWay, Outcome
from tunesmith.engine.lessons import Asked
from tunesmith.tasks import Encoded


class HeadedWay(LanguageWay):
    """What is read is the family's to say (`_read`); losses and scores of it are the same for all."""

    family: Any
    head: bool
    budget: int = chunked_loss.BUDGET
    """Bytes of logits that are held at once."""

    @abstractmethod
    def _read(self, encoded: Encoded, rows: Sequence[int]) -> tuple[Asked, Tensor, Tensor]:
        """What is read, labels (S,), and in between the states (S, H) before the head, or logits (S, V)."""

    def losses(self, encoded: Encoded, rows: Sequence[int], smoothing: float = 0.0) -> Outcome:
        what, found_S, labels_S = self._read(encoded, rows)
        if self.head:
            return Outcome(what, chunked_loss.losses(found_S, self._head(), labels_S, smoothing, self.budget))
        return Outcome(what, functional.cross_entropy(found_S, labels_S, reduction="none", label_smoothing=smoothing))

    def scores(self, encoded: Encoded, rows: Sequence[int]) -> Outcome:
        with torch.no_grad():
            what, found_S, labels_S = self._read(encoded, rows)
            if self.head:
                told = chunked_loss.told(found_S, self._head(), labels_S, self.budget)
                return Outcome(what, told.losses_S, told.hits_S)
            losses_S = functional.cross_entropy(found_S, labels_S, reduction="none")
            return Outcome(what, losses_S, found_S.argmax(1) == labels_S)

    def _head(self) -> torch.nn.Module:
        return plain(self.net.auto).get_submodule(self.family.language_head)

"""Causal language models: the loss at supervised positions, and nothing computed that cannot change it.

    tokens -> embeddings -> blocks 0 .. n-2 -> last block where something is read -> norm -> head and loss, in slabs

Labels stand beside the tokens (`Encoded.labels`): the label in a place is predicted from the place before it, as
transformers does when it is given labels. The loss of a step is the caller's to sum up, with `weights_S`, so that it
can count the weights of a whole step that is cut into several forward passes.

Shape letters: S supervised positions, Q different ones, T tokens, H width.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch.nn import functional

from tunesmith.bases.family import plain
from tunesmith.engine import chunked_loss
from tunesmith.engine.batches import Ints, collate, pieces
from tunesmith.engine.fast import Fast
from tunesmith.engine.lessons import Asked, Lesson, Levers, asked, lay
from tunesmith.engine.noise import heard, noisy, padded
from tunesmith.engine.packing import by_tokens
from tunesmith.tasks import Encoded

if TYPE_CHECKING:
    from tunesmith.engine.network import Network
    from tunesmith.engine.trunk_cache import Cache


@dataclass
class Outcome:
    """What was found at the S supervised positions of some rows: in the order of the rows, then of their places."""

    asked: Asked
    losses_S: torch.Tensor
    """float32 (float64 where that is computed); differentiable where gradients are on."""
    hits_S: torch.Tensor | None = None
    """Whether the label is the most probable token; told by `scores`."""

    def weights(self) -> torch.Tensor:
        """(S,): what each loss counts for: the weight of its row times that of its label."""
        return torch.from_numpy(self.asked.weights_S).to(self.losses_S)


class LanguageWay(ABC):
    """How rows become losses."""

    dictates: ClassVar[bool] = False
    net: "Network"

    @abstractmethod
    def pieces(self, encoded: Encoded, rows: Sequence[int] | Ints, max_tokens: int) -> Iterator[list[int]]:
        """Cut the rows of a step into forward passes."""

    @abstractmethod
    def losses(self, encoded: Encoded, rows: Sequence[int], smoothing: float = 0.0) -> Outcome:
        """Losses (S,) in the mode (training or not) that the network is in."""

    @abstractmethod
    def scores(self, encoded: Encoded, rows: Sequence[int]) -> Outcome:
        """Losses, which are negative log-probabilities, and hits, without gradients."""


class PlainLanguage(LanguageWay):
    """The library's own forward pass on padded rows of similar length, every logit held."""

    def __init__(self, net: "Network", pad_id: int, *, equal: bool = False) -> None:
        self.net, self.pad_id, self.equal = net, pad_id, equal

    def pieces(self, encoded: Encoded, rows: Sequence[int] | Ints, max_tokens: int) -> Iterator[list[int]]:
        lengths = dict(zip(map(int, rows), encoded.ids.lengths_of(rows).tolist(), strict=True))
        return pieces(rows, lengths, max_tokens, equal=self.equal)

    def losses(self, encoded: Encoded, rows: Sequence[int], smoothing: float = 0.0) -> Outcome:
        what, logits_SV, labels_S = self._read(encoded, rows)
        return Outcome(what, functional.cross_entropy(logits_SV, labels_S, reduction="none", label_smoothing=smoothing))

    def scores(self, encoded: Encoded, rows: Sequence[int]) -> Outcome:
        with torch.no_grad():
            what, logits_SV, labels_S = self._read(encoded, rows)
            losses_S = functional.cross_entropy(logits_SV, labels_S, reduction="none")
            return Outcome(what, losses_S, logits_SV.argmax(1) == labels_S)

    def _read(self, encoded: Encoded, rows: Sequence[int]) -> tuple[Asked, torch.Tensor, torch.Tensor]:
        device = next(self.net.parameters()).device
        inputs = {k: v.to(device) for k, v in collate(encoded, rows, self.pad_id).inputs.items()}
        with noisy(self.net, encoded, rows, lambda: padded(encoded, rows)):
            logits_BTV = cast("Any", self.net.auto)(**inputs).logits
        virtual = logits_BTV.shape[1] - inputs["input_ids"].shape[1]
        what = asked(encoded, rows, virtual)
        logits_SV = logits_BTV[what.index_S, what.places_S + virtual - 1]
        exact = logits_SV if logits_SV.dtype == torch.float64 else logits_SV.float()
        return what, exact, torch.from_numpy(what.labels_S).to(device)


class PackedLanguage(LanguageWay):
    """Rows end to end, from their tokens or from what the trunk cache holds of them (a cut below the last block)."""

    def __init__(self, fast: Fast, levers: Levers, virtual: int = 0) -> None:
        self.net, self.fast, self.levers, self.virtual = fast.net, fast, levers, virtual
        self.caches: dict[int, Cache] = {}
        """By id of the encoded rows, which each cache holds."""

    def pieces(self, encoded: Encoded, rows: Sequence[int] | Ints, max_tokens: int) -> Iterator[list[int]]:
        return by_tokens(encoded, rows, max_tokens, self.virtual)

    def losses(self, encoded: Encoded, rows: Sequence[int], smoothing: float = 0.0) -> Outcome:
        what = asked(encoded, rows, self.virtual)
        if not len(what.labels_S):
            return Outcome(what, self._nothing())
        lesson, states_QH = self._read(encoded, rows, what)
        head, labels_Q = self._head(), lesson.labels_Q
        if self.levers.budget:
            losses_Q = chunked_loss.losses(states_QH, head, labels_Q, smoothing, self.levers.budget)
        else:
            logits_QV = head(states_QH)
            exact = logits_QV if logits_QV.dtype == torch.float64 else logits_QV.float()
            losses_Q = functional.cross_entropy(exact, labels_Q, reduction="none", label_smoothing=smoothing)
        return Outcome(what, losses_Q[lesson.back_S])

    def scores(self, encoded: Encoded, rows: Sequence[int]) -> Outcome:
        what = asked(encoded, rows, self.virtual)
        if not len(what.labels_S):
            return Outcome(what, self._nothing().detach(), self._nothing().bool())
        with torch.no_grad():
            lesson, states_QH = self._read(encoded, rows, what)
            told = chunked_loss.told(
                states_QH, self._head(), lesson.labels_Q, self.levers.budget or chunked_loss.BUDGET
            )
        return Outcome(what, told.losses_S[lesson.back_S], told.hits_S[lesson.back_S])

    def _head(self) -> Any:
        return self.fast.layout.language_head(self.fast.auto)

    def _nothing(self) -> torch.Tensor:
        """No losses, with which a backward pass is still possible."""
        return next(self.net.parameters()).new_zeros(0).requires_grad_()

    def _read(self, encoded: Encoded, rows: Sequence[int], what: Asked) -> tuple[Lesson, torch.Tensor]:
        """Lay the rows out and run them: (lesson, (Q, H))."""
        fast, levers = self.fast, self.levers
        if levers.prefix and (drops(self.net) or heard(self.net)):
            levers = replace(levers, prefix=False)
        lesson = lay(encoded, rows, what, levers, self.virtual)
        device = next(self.net.parameters()).device
        lesson.pack.to(device)
        lesson.labels_Q, lesson.back_S = lesson.labels_Q.to(device), lesson.back_S.to(device)
        cache = self.caches.get(id(encoded))
        if cache is None:
            with noisy(self.net, encoded, rows, lambda: lesson.takes_T):
                states_TH = fast.below(lesson.pack, 0)
            return lesson, fast.read(states_TH, lesson.pack, 0)
        states_TH = cache.states(rows)[torch.from_numpy(lesson.takes_T)].to(device)
        return lesson, fast.read(states_TH, lesson.pack, cache.cut)


def drops(net: torch.nn.Module, *, ever: bool = False) -> bool:
    """Whether a forward pass draws dropout now; with `ever`, whether it would in training."""
    return any(
        (ever or module.training)
        and ((isinstance(module, torch.nn.Dropout) and module.p > 0) or getattr(module, "attention_dropout", 0.0) > 0)
        for module in plain(net).modules()
    )

"""Label words: from what a language model says at the read positions to logits of labels.

    label c:   log  mean over its words w of  exp( 1/|w|  sum over tokens j of  log p(w_j at place j) )

and less what the base prefers for texts without content, where that was measured. Where every word is one token at one
position, log p is the network's score less the same number for every label; the number changes no answer and no
gradient and is left out, and with it all rows of the vocabulary but those of the label words.

Shape letters: B rows, n positions read in each, H width, V vocabulary, W label words, C labels, M tokens of words.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tunesmith.bases.family import Family, plain
from tunesmith.tasks._wording import Wording


@dataclass
class _Picked:
    """Which tokens of which words a form reads, (M,) each."""

    words: torch.Tensor
    places: torch.Tensor
    tokens: torch.Tensor
    shares: torch.Tensor


class LabelWords:
    """The wording as tensors, for one network."""

    def __init__(self, wording: Wording, family: Family) -> None:
        self.wording, self.family = wording, family
        self.picked = [_picked(wording, form) for form in range(len(wording.forms))]

    def scores(self, form: int, states_BnH: torch.Tensor, transform: Callable[[Any], Any], table: Any) -> torch.Tensor:
        """(B, W): scores of the words that this form reads, 0 for others; from the states at the read positions, what
        the head does before its vocabulary matrix, and that matrix."""
        hidden_BnH = transform(states_BnH)
        picked = self.picked[form]
        if self.wording.normed or type(table) is not nn.Linear:
            return self.of_logits(form, table(hidden_BnH))
        rows = picked.tokens.to(hidden_BnH.device)
        bias = None if table.bias is None else table.bias[rows]
        logits_BnM = nn.functional.linear(hidden_BnH, table.weight[rows], bias)
        return self._added(picked, _exact(logits_BnM[:, 0]))

    def of_logits(self, form: int, logits_BnV: torch.Tensor) -> torch.Tensor:
        """(B, W) as `scores`, from logits over the vocabulary."""
        picked = self.picked[form]
        exact = _exact(logits_BnV)
        if self.wording.normed:
            exact = exact.log_softmax(-1)
        return self._added(picked, exact[:, picked.places.to(exact.device), picked.tokens.to(exact.device)])

    def _added(self, picked: _Picked, values_BM: torch.Tensor) -> torch.Tensor:
        out = values_BM.new_zeros(len(values_BM), len(self.wording.flat))
        shares = picked.shares.to(values_BM)
        return out.index_add(1, picked.words.to(values_BM.device), values_BM * shares)

    def labels(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits (B, C) from the scores of all forms."""
        scores_BW = torch.stack(list(parts)).sum(0)
        counts = [len(words) for words in self.wording.words]
        each = [part.logsumexp(1) for part in torch.split(scores_BW, counts, dim=1)]
        logits_BC = torch.stack(each, 1)
        if self.wording.combine == "mean":
            logits_BC = logits_BC - torch.tensor(counts, dtype=logits_BC.dtype, device=logits_BC.device).log()
        if self.wording.offsets:
            logits_BC = logits_BC - torch.tensor(self.wording.offsets, dtype=logits_BC.dtype, device=logits_BC.device)
        return logits_BC

    @contextmanager
    def reading(self, auto: nn.Module, places_Bn: torch.Tensor, width: int) -> Iterator[None]:
        """Within the block the library's language head gets the states at these places of each row alone, (B, n, H);
        `width` is the length of the rows without virtual tokens in front of them."""
        base = plain(auto)
        names = dict(base.named_modules())
        head = next(names[path] for path in self.family.word_heads if path in names)

        def pick(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
            states_BTH = given[0]
            places = places_Bn.to(states_BTH.device) + states_BTH.shape[1] - width
            rows = torch.arange(len(places), device=places.device).unsqueeze(1)
            return states_BTH[rows, places], *given[1:]

        hook = head.register_forward_pre_hook(pick)
        try:
            yield
        finally:
            hook.remove()


def _picked(wording: Wording, form: int) -> _Picked:
    picks = wording.picks(form)
    return _Picked(
        words=torch.tensor([p.word for p in picks]), places=torch.tensor([p.place for p in picks]),
        tokens=torch.tensor([p.token for p in picks]), shares=torch.tensor([p.share for p in picks]),
    )  # fmt: skip


def _exact(values: torch.Tensor) -> torch.Tensor:
    return values if values.dtype == torch.float64 else values.float()

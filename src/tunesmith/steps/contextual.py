"""New training rows with words that a masked language model thinks could stand there.

    the pump [MASK] oil    ->    leaks · loses · needs …       drawn from the `top` most probable whole words

Kobayashi 2018, https://arxiv.org/abs/1805.06201, without its condition on the label: what stands there by grammar may
say the opposite, which negations alone are guarded against.
"""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import PositiveInt

from tunesmith.data.ledger import Ledger
from tunesmith.data.segment import is_wide
from tunesmith.errors import TunesmithError
from tunesmith.steps._augmenting import Augmentation, Maker, some_of
from tunesmith.steps._making import Share
from tunesmith.steps._models import files_of_base, opened
from tunesmith.steps._passage import Passage
from tunesmith.steps._thesaurus import cased

if TYPE_CHECKING:
    from torch import Tensor


class Contextual(Augmentation):
    """All words of a copy that are replaced are hidden at once, and each is drawn by itself. Chinese goes by
    characters."""

    name: Literal["contextual"] = "contextual"
    base: str
    """A base with a masked head: its folder, or a hub id that is on this machine."""
    rate: Share = 0.15
    """Share of the words that are replaced."""
    top: PositiveInt = 10
    """How many of the most probable words are drawn from; the word itself is never among them."""

    base_settings: ClassVar[tuple[str, ...]] = ("base",)
    batch: ClassVar[int] = 32
    source: ClassVar[str] = "Kobayashi 2018, https://arxiv.org/abs/1805.06201"
    prefer: ClassVar[str] = "A masked base that knows the language of the rows, and labels that one word seldom turns."

    def files(self) -> tuple[Path, ...]:
        return files_of_base(self.base)

    def maker(self, ledger: Ledger, plan: Any) -> Maker:
        net, tokenizer = opened(self.name, self.base, "AutoModelForMaskedLM")
        if tokenizer.mask_token is None:
            raise TunesmithError(
                f"steps: {self.name}: {self.base} has no mask token. Name a masked base, such as a BERT"
            )
        return _Filling(self, net, tokenizer)


class _Filling:
    """A network, and the whole words among its pieces.

    Shape letters: B rows, T tokens, M hidden words of all rows, V pieces.
    """

    def __init__(self, step: Contextual, net: Any, tokenizer: Any) -> None:
        import torch

        self.step, self.net, self.tokenizer = step, net, tokenizer
        self.words = whole_words(tokenizer, net.config.vocab_size)
        self.latin_V = torch.tensor([word is not None and not is_wide(word) for word in self.words])
        self.wide_V = torch.tensor([word is not None and is_wide(word) for word in self.words])
        spare = 2 if net.config.model_type in ("roberta", "xlm-roberta", "camembert") else 0  # their places start at 2
        self.room = min(int(getattr(net.config, "max_position_embeddings", 512)) - spare, 512)

    def __call__(self, texts: Sequence[Passage], draws: Sequence[Random]) -> list[Passage]:
        mask = self.tokenizer.mask_token
        hidden = [[] if mask in text.text else some_of(text.open(), self.step.rate, draw)
                  for text, draw in zip(texts, draws, strict=True)]  # fmt: skip
        masked = [text.changed(dict.fromkeys(own, mask)).text for text, own in zip(texts, hidden, strict=True)]
        found = self._scores(masked)
        made = []
        for text, own, scores_MV, draw in zip(texts, hidden, found, draws, strict=True):
            new = {}
            for place, score_V in zip(own, scores_MV, strict=False):  # what stands behind the longest input stays
                word = self._drawn(text.units[place].text, score_V, draw)
                if word is not None:
                    new[place] = word
            made.append(text.changed(new, one=True))
        return made

    def _scores(self, masked: Sequence[str]) -> "list[Tensor]":
        """(M, V) of each row."""
        import torch

        batch = self.tokenizer(list(masked), padding=True, truncation=True, max_length=self.room, return_tensors="pt")
        with torch.inference_mode():
            logits_BTV = self.net(**batch).logits.float()
        return [logits_BTV[row][ids == self.tokenizer.mask_token_id] for row, ids in enumerate(batch["input_ids"])]

    def _drawn(self, word: str, score_V: "Tensor", draw: Random) -> str | None:
        """Another word for one, in its case of letters; None where the base knows none."""
        fits_V = self.wide_V if is_wide(word) else self.latin_V
        score_V = score_V[: len(fits_V)].masked_fill(~fits_V, float("-inf"))
        best, places = score_V.topk(min(self.step.top + 8, len(score_V)))  # a word has a few spellings
        known = [(float(s), str(self.words[i])) for s, i in zip(best.tolist(), places.tolist(), strict=True)
                 if s > float("-inf") and str(self.words[i]).lower() != word.lower()][: self.step.top]  # fmt: skip
        if not known:
            return None
        from math import exp

        weights = [exp(score - known[0][0]) for score, _ in known]
        return cased(word, draw.choices([w for _, w in known], weights)[0])


def whole_words(tokenizer: Any, size: int) -> list[str | None]:
    """The word that each piece of a vocabulary is alone, or None: no part of a word, no sign, nothing special."""
    pieces = tokenizer.convert_ids_to_tokens(range(min(size, len(tokenizer))))
    special = set(tokenizer.all_special_ids)
    marked = any(piece and piece[0] in "Ġ▁" for piece in pieces)
    out: list[str | None] = []
    for number, piece in enumerate(pieces):
        word = None if piece is None or number in special else tokenizer.convert_tokens_to_string([piece]).strip()
        if not word or piece.startswith("##") or not word.isalpha():
            out.append(None)
        elif is_wide(word):
            out.append(word if len(word) == 1 else None)
        else:
            begins = not marked or piece[0] in "Ġ▁"
            out.append(word if begins and len(word) > 1 else None)
    return out + [None] * (size - len(out))

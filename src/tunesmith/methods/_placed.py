"""Virtual tokens within rows: an embedding that looks numbers behind the vocabulary up in a table that learns.

    ids  1 512 513 45 7   ->   words[1] table[0] table[1] words[45] words[7]        vocabulary 512

The network stays the library's own, without a wrapper. What is saved is not PEFT's format on purpose: PEFT would put
the tokens in front of everything, without a word.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from tunesmith.bases.family import Family, plain
from tunesmith.errors import TunesmithError
from tunesmith.methods import _peft

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "virtual.safetensors"
_NAME = "prompt_embeddings"


class Words(nn.Embedding):
    """The base's word embeddings (V, E), and virtual tokens as numbers V to V + P - 1."""

    virtual: Any
    """PEFT's module that makes them, from their numbers."""

    def table(self) -> torch.Tensor:
        """The virtual tokens (P, E), with gradients."""
        numbers = torch.arange(self.virtual.embedding.num_embeddings, device=self.weight.device)
        return cast("torch.Tensor", self.virtual(numbers[None])[0])

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(…,) -> (…, E)."""
        own = input >= self.num_embeddings
        if not own.any():  # texts without, and every step of writing but the first
            return super().forward(input)
        found = super().forward(input.masked_fill(own, 0))
        return found.index_put((own,), self.table().to(found.dtype)[input[own] - self.num_embeddings])


def inside(wrapped: nn.Module) -> nn.Module:
    """The base of a network that PEFT made virtual tokens for, with them in its word embeddings and no wrapper."""
    base: Any = plain(wrapped)
    old = base.get_input_embeddings()
    if type(old) is not nn.Embedding:
        raise TunesmithError(
            f"method.place: the word embeddings of this base are {type(old).__name__} and no plain table, so virtual "
            "tokens have no place within rows. Set method.place: start"
        )
    made = Words(old.num_embeddings, old.embedding_dim, old.padding_idx, device="meta")
    made.weight = old.weight  # the same parameter, which a language head may share
    made.virtual = wrapped.prompt_encoder["default"]  # type: ignore[index]
    base.set_input_embeddings(made.train(base.training))
    return cast("nn.Module", base)


def words_in(net: nn.Module) -> Words | None:
    """The embedding with virtual tokens of a network; None where they do not stand within rows."""
    found = cast("Any", plain(net)).get_input_embeddings()
    return found if isinstance(found, Words) else None


def save(words: Words, folder: Path) -> None:
    """The virtual tokens alone, in our own file."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {_NAME: words.table().detach().cpu().clone().contiguous()}
    save_file(tensors, str(folder / FILE), metadata={"format": "pt"})


def load(net: nn.Module, family: Family, folder: Path, sizes: "Mapping[str, int]") -> nn.Module:
    """A fresh base with the saved virtual tokens, to answer. Raises TunesmithError unless they fit."""
    from safetensors.torch import load_file

    if not (folder / FILE).is_file():
        raise TunesmithError(f"{folder} holds no saved virtual tokens: {FILE} is missing")
    tensors = load_file(str(folder / FILE))
    made = inside(_peft.wrap(net, family, "PromptTuningConfig", prompt_tuning_init="RANDOM", **sizes))
    words = cast("Words", words_in(made))
    _peft.compare(folder / FILE, {_NAME: words.virtual.embedding.weight}, tensors)
    with torch.no_grad():
        words.virtual.embedding.weight.copy_(tensors[_NAME])
    return made.eval().requires_grad_(False)

"""Models that write or fill in texts for steps: opened by name like bases, run in batches, each row with its own draws.

Sampling: the word with the largest  log p / temperature + g  of the `top` most probable ones, g of a Gumbel
distribution, is a draw from p (Gumbel 1954; Maddison et al. 2014). g comes from the row's own generator, so that what
is written of a row does not hang on the rows beside it, but for the last bits of a batch's arithmetic.

Shape letters: B rows, T tokens, V words of the vocabulary, K words drawn from.
"""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tunesmith.bases.find import find
from tunesmith.bases.load import load_tokenizer, quiet
from tunesmith.errors import TunesmithError

if TYPE_CHECKING:
    from torch import Tensor


def files_of_base(name: str) -> tuple[Path, ...]:
    """Its files, whose content makes a run what it is. Raises TunesmithError where there is no such base."""
    return tuple(sorted(f for f in find(name).folder.iterdir() if f.is_file() and not f.name.startswith(".")))


def opened(step: str, name: str, auto: str) -> tuple[Any, Any]:
    """(network in evaluation mode, tokenizer) of a base, through transformers' own Auto class.

    Raises TunesmithError where the base is of another kind, or lacks weights of that class.
    """
    import transformers

    found = find(name)
    try:
        tokenizer = load_tokenizer(found)
    except ImportError as error:
        raise TunesmithError(f"steps: {step}: the tokenizer of {name} wants a package that is not installed: {error}. "
                             "Run: pip install sentencepiece sacremoses") from None  # fmt: skip
    with quiet():
        try:
            net, info = getattr(transformers, auto).from_pretrained(
                found.folder, output_loading_info=True, local_files_only=True, trust_remote_code=False,
                use_safetensors=True, dtype="float32",
            )  # fmt: skip
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise TunesmithError(f"steps: {step}: {name} does not load as {auto}: {str(error)[:300]}") from error
    if missing := sorted(info["missing_keys"]):
        raise TunesmithError(
            f"steps: {step}: {name} is no {auto}: it lacks {len(missing)} of its weights, such as {missing[0]}. Name a "
            "base that was pretrained with its head over words"
        )
    return net.eval(), tokenizer


def written(  # noqa: PLR0913
    net: Any, asked: dict[str, "Tensor"], draws: Sequence[Random], *, max_new: int, temperature: float, top: int,
    first: int | None = None,
) -> "Tensor":  # fmt: skip
    """(B, T): tokens that the network writes to each row of a padded batch; `first` is the token it must begin with."""
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    own = net.generation_config
    config = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=max_new, do_sample=False, num_beams=1, forced_bos_token_id=first, bos_token_id=own.bos_token_id,
        eos_token_id=own.eos_token_id, pad_token_id=own.pad_token_id, bad_words_ids=own.bad_words_ids,
        decoder_start_token_id=getattr(own, "decoder_start_token_id", None),
    )  # fmt: skip
    processors = LogitsProcessorList([_Drawn(draws, temperature, top)])
    with torch.inference_mode(), quiet():
        out: Tensor = net.generate(**asked, generation_config=config, logits_processor=processors)
    return out


class _Drawn:
    """Scores whose largest is a draw."""

    def __init__(self, draws: Sequence[Random], temperature: float, top: int) -> None:
        import torch

        self.own = [torch.Generator().manual_seed(draw.getrandbits(63)) for draw in draws]
        self.temperature, self.top = temperature, top

    def __call__(self, ids_BT: "Tensor", scores_BV: "Tensor") -> "Tensor":
        import torch

        best_BK, places_BK = scores_BV.topk(min(self.top, scores_BV.shape[-1]), dim=-1)
        noise_BK = torch.stack([_gumbel(torch.rand(best_BK.shape[-1], generator=own)) for own in self.own])
        drawn_BK = best_BK / self.temperature + noise_BK
        return torch.full_like(scores_BV, float("-inf")).scatter(-1, places_BK, drawn_BK)


def _gumbel(uniform_K: "Tensor") -> "Tensor":
    return -(-uniform_K.clamp(1e-9, 1 - 1e-7).log()).log()

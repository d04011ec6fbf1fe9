"""Load a base: tokenizer, and transformers' own Auto class with a fresh head."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from tunesmith.bases import heads, quant, rope
from tunesmith.bases.family import EncoderDecoder, Family, Purpose, bare_name, family_of
from tunesmith.bases.find import Found
from tunesmith.bases.sighted import text_of
from tunesmith.errors import TunesmithError

if TYPE_CHECKING:
    from torch import nn

_VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)


NEW_HEADS = ("classify", "tag", "image", "sound", "ctc")
"""Purposes for which a network gets a head of its own."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the load reports and progress bars of transformers; what matters of them we check ourselves."""
    from transformers.utils import logging as hf

    level, bars = hf.get_verbosity(), hf.is_progress_bar_enabled()
    hf.set_verbosity_error()  # type: ignore[no-untyped-call]
    hf.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        hf.set_verbosity(level)
        if bars:
            hf.enable_progress_bar()  # type: ignore[no-untyped-call]


def load_tokenizer(found: Found) -> Any:
    """The base's tokenizer, local files only; a decoder without a padding token gets one it knows."""
    from transformers import AutoTokenizer

    if not any((found.folder / name).is_file() for name in _VOCABULARIES):  # transformers would make up an empty one
        raise TunesmithError(f"base: {found.name} has no tokenizer: none of {', '.join(_VOCABULARIES)}")
    logging.getLogger("transformers.tokenization_utils_base").setLevel(logging.ERROR)
    with quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(found.folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise TunesmithError(f"base: {found.name} has no tokenizer that loads: {error}") from error
    return settled(found, tokenizer)


def settled(found: Found, tokenizer: Any) -> Any:
    """A tokenizer that pads on the right, with a token that it knows. Raises TunesmithError where it has none, or has
    tokens that the base has not."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise TunesmithError(f"base: the tokenizer of {found.name} has neither padding, unknown nor end token")
    tokenizer.padding_side = "right"
    _refuse_strange_tokens(found, tokenizer)
    return tokenizer


def _refuse_strange_tokens(found: Found, tokenizer: Any) -> None:
    """Tokens that were added to a tokenizer without rows for them in the word table (an adapter's folder has none)."""
    rows = text_of(found.config).get("vocab_size") if (found.folder / "config.json").is_file() else None
    beyond = [] if rows is None else sorted(t for t, number in tokenizer.get_vocab().items() if number >= rows)
    if beyond:
        raise TunesmithError(
            f"base: the tokenizer of {found.name} has {len(beyond)} tokens without a row in its word table of {rows}: "
            f"{', '.join(beyond[:3])}. Enlarge the network (transformers: net.resize_token_embeddings(len(tokenizer)), "
            "then net.save_pretrained), or take these tokens out of tokenizer.json and tokenizer_config.json"
        )


def load_net(
    found: Found,
    *,
    purpose: Purpose = "classify",
    layers: int | None = None,
    pad_token_id: int | None = None,
    start: Sequence[float] = (),
    family: Family | None = None,
    **config: Any,
) -> "nn.Module":
    """transformers' Auto class in float32. To classify: a head for `num_labels` answers, drawn from torch's global
    generator (outputs for labels that a tuned base knows are its own, see `heads`); as a language model, causal or
    masked, or encoder-decoder: its own head.

    A base found with `quant` gets the linear layers of its blocks quantised while they are read, one after the other.
    `layers` keeps the lowest n blocks. `start` is what new outputs say before anything is learnt (their biases, where
    the head has any). `family`: the base as the task sees it, where that says more than its purpose does. `config` are
    further configuration fields (labels, problem type, dropout).
    Raises TunesmithError when weights outside a new head are missing from the files.
    """
    family = family or family_of(found.model_type, purpose, found.config)
    _check_layers(found, family, layers)
    how: dict[str, Any] = {} if layers is None else {"num_hidden_layers": layers}
    net, info = _read(found, family, how | taken(found, family) | dict(family.settings) | config)
    _refuse_missing(found, family, info["missing_keys"], tied=getattr(net.config, "tie_word_embeddings", False))
    if strange := [k for k, *_ in info.get("mismatched_keys", ()) if not family.is_head(bare_name(k))]:
        raise TunesmithError(f"base: {found.name} has weights of other shapes than its config.json says: {strange[:3]}")
    if family.purpose in NEW_HEADS and "id2label" in config:
        heads.start_at(net, family, start, heads.carry_over(net, found, family))
    if found.quant is not None:
        quant.settle(net)
    if pad_token_id is not None:
        net.config.pad_token_id = pad_token_id  # decoders find the last token of a row by it
    net.config.tunesmith_base = found.public_name
    return cast("nn.Module", net)


def _read(found: Found, family: Family, config: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """(network, what transformers tells of its loading)."""
    import transformers
    from safetensors import SafetensorError

    fresh_head = family.purpose in NEW_HEADS  # one for other labels has another shape
    with quiet():
        try:
            net, info = getattr(transformers, auto_class(family.purpose)).from_pretrained(
                found.folder, output_loading_info=True, local_files_only=True, trust_remote_code=False,
                use_safetensors=True, dtype="float32", ignore_mismatched_sizes=fresh_head, **config,
            )  # fmt: skip
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            raise TunesmithError(f"base: {found.name} does not load: {error}") from error
    return net, info


def empty_net(found: Found, family: Family, layers: int | None, **config: Any) -> "nn.Module":
    """The network of `load_net` with shapes and no weights: nothing of the base is read but its config.json."""
    import torch
    import transformers

    _check_layers(found, family, layers)
    how: dict[str, Any] = {} if layers is None else {"num_hidden_layers": layers}
    rope_only = replace(found, quant=None)
    with quiet(), torch.device("meta"):
        settings = transformers.AutoConfig.from_pretrained(
            found.folder, local_files_only=True, **how, **taken(rope_only, family), **dict(family.settings), **config
        )
        return cast("nn.Module", getattr(transformers, auto_class(family.purpose)).from_config(settings))


def taken(found: Found, family: Family) -> dict[str, Any]:
    """What `from_pretrained` must be given for a base that is taken otherwise than it is stored."""
    from transformers import AutoConfig

    how = {} if found.quant is None else quant.settings(found.quant, family)
    if found.rope is not None:
        how |= rope.changes(found.rope, AutoConfig.from_pretrained(found.folder, local_files_only=True))
    return how


def auto_class(purpose: Purpose) -> str:
    """Name of transformers' Auto class."""
    return {
        "classify": "AutoModelForSequenceClassification", "tag": "AutoModelForTokenClassification",
        "embed": "AutoModel", "language": "AutoModelForCausalLM",
        "masked": "AutoModelForMaskedLM", "seq2seq": "AutoModelForSeq2SeqLM",
        "image": "AutoModelForImageClassification", "sound": "AutoModelForAudioClassification",
        "ctc": "AutoModelForCTC", "image_text": "AutoModel", "image_to_text": "AutoModelForImageTextToText",
        "speech": "AutoModelForSpeechSeq2Seq",
    }[purpose]  # fmt: skip


def _check_layers(found: Found, family: Family, layers: int | None) -> None:
    total = _depth(found)
    if layers is not None and isinstance(family, EncoderDecoder):
        raise TunesmithError(
            f"base.layers: keeps the lowest blocks of one stack, and {found.name} has an encoder and a decoder. Leave "
            "it out, or take a smaller base"
        )
    if layers is not None and not 1 <= layers <= total:
        raise TunesmithError(f"base.layers: {layers} is not between 1 and {total}, the blocks of {found.name}")


def _refuse_missing(found: Found, family: Family, keys: Sequence[str], *, tied: bool) -> None:
    # what is the word table under another name is in no file, and no loss
    own = f"{family.language_head}.weight" if tied and family.purpose != "masked" else None
    spare = "pooler." if family.purpose == "embed" else "\0"  # of the headless model states are read, not its pooler
    missing = sorted(
        k for k in keys if not family.is_head(bare_name(k)) and bare_name(k) != own and not k.startswith(spare)
    )
    if lost := [k for k in missing if family.is_word_head(k)]:
        purpose = "fill gaps" if family.purpose == "masked" else "write"
        raise TunesmithError(
            f"base: {found.name} has no language head ({', '.join(lost[:2])}): it can be read with, and cannot "
            f"{purpose}. Use the base as it was pretrained, with its {auto_class(family.purpose)} head"
            + " (task masked gives it one: task.head=new)"
            * (family.purpose == "masked")
        )
    if missing:
        raise TunesmithError(f"base: {found.name} lacks weights outside the head: {', '.join(missing[:5])}")


def _depth(found: Found) -> int:
    config = text_of(found.config)
    return int(config.get("num_hidden_layers") or config.get("n_layers") or config.get("n_layer") or 0)


def max_positions(found: Found) -> int:
    """Longest input in tokens, special tokens included. RoBERTa's table has padding_idx + 1 unused places; T5 has no
    table, and what its config.json calls n_positions is the length that it was pretrained at."""
    config = text_of(found.config)
    if config.get("relative_attention_num_buckets"):
        return 10**6
    positions = int(config.get("max_position_embeddings") or config.get("n_positions") or 10**6)
    return positions - int(config.get("pad_token_id") or 0) - 1 if "roberta" in found.model_type else positions

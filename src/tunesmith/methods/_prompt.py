"""Shared by methods that learn virtual tokens: sizes, starting points, and which words the result is near.

PEFT puts virtual tokens before the input. A head that reads the first position (BERT's pooler) then reads virtual
token 0 and never sees [CLS]. So virtual token 0 starts as the embedding of the tokenizer's first special token: at
the start the head reads a [CLS] that sees the other virtual tokens and the row, and the file format is PEFT's own.

Other places than the front are for conversations alone, and are tokens of the rows (`_placed.py`, `dialogue.virtual`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tunesmith.bases.family import Family, plain
from tunesmith.bases.load import quiet
from tunesmith.dialogue.virtual import Place
from tunesmith.errors import TunesmithError
from tunesmith.methods import Learnt, _peft, _weights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tunesmith.methods._placed import Words


def vocabulary(net: "nn.Module") -> "Tensor":
    """Embeddings of all tokens (V, E) of the base; E is smaller than its width for some ELECTRA models."""
    return cast("Tensor", plain(net).get_input_embeddings().weight.detach())  # type: ignore[operator]


def unseen(method: str, family: Family) -> str | None:
    """Why virtual tokens cannot stand before an image or a sound, nor before the texts of one of two towers."""
    if family.sense == "text":
        return None
    towers = family.sense == "images and texts"
    what = "is two towers, of which PEFT would wrap the whole" if towers else f"reads {family.sense}"
    return f"{method} puts virtual tokens before a text, and {family.name} {what}. Use lora or adapter"


def spread(net: "nn.Module") -> float:
    """How far words differ: the mean standard deviation of the places of their embeddings, over about 4,096 of them."""
    words = vocabulary(net)
    return float(words[:: max(1, len(words) // 4096)].float().std(dim=0).mean())


def rate_scale(net: "nn.Module") -> float:
    """What a rate is multiplied by for a decoder, where it is meant for words with a spread of 0.023; encoders keep it.

    A decoder whose words and states are all some times as large says the same (it normalises before each part), and
    AdamW's steps then have to be larger by as much. At most 10: 0.3 for `prompt`, as in its paper.
    """
    if on_meta(net) or not _weights.family_in(net).decoder:
        return 1.0
    return min(10.0, spread(net) / 0.023)


def sizes(net: "nn.Module", tokens: int) -> dict[str, int]:
    """What PEFT wants to know of a base for virtual tokens. Raises TunesmithError when they do not fit."""
    config = _weights.config(net)
    limit = int(getattr(config, "max_position_embeddings", 0) or 10**9)
    if tokens > limit - 8:
        raise TunesmithError(f"method.tokens: {tokens} virtual tokens leave no room for text in {limit} positions")
    return {
        "num_virtual_tokens": tokens,
        "token_dim": int(vocabulary(net).shape[1]),
        "num_layers": int(config.num_hidden_layers),
        "num_attention_heads": int(config.num_attention_heads),
        "num_transformer_submodules": 1,
    }


def encoder(net: "nn.Module") -> Any:
    """PEFT's module that makes the virtual tokens."""
    if (words := _within(net)) is not None:
        return words.virtual
    return net.prompt_encoder["default"]  # type: ignore[index]


def _within(net: "nn.Module") -> "Words | None":
    from tunesmith.methods import _placed

    return _placed.words_in(net)


def made(net: "nn.Module") -> "Tensor":
    """The virtual tokens (P, E) as PEFT would put them before a row, with gradients."""
    if (words := _within(net)) is not None:
        return words.table()
    return cast("Tensor", net.get_prompt(batch_size=1)[0])  # type: ignore[operator]


def virtual(net: "nn.Module") -> "Tensor":
    """The virtual tokens (P, E) as they are now."""
    if (words := _within(net)) is not None:
        return words.table().detach()
    return _peft.tensors_of(net)["prompt_embeddings"].detach()


def put(wrapped: "nn.Module", place: Place) -> "nn.Module":
    """The network that trains, of one that PEFT made virtual tokens for."""
    from tunesmith.methods import _placed

    return wrapped if place == "start" else _placed.inside(wrapped)


def save(net: "nn.Module", folder: Path) -> None:
    """The virtual tokens: in PEFT's format if they stand where PEFT puts them, else in our own."""
    from tunesmith.methods import _placed

    if (words := _placed.words_in(net)) is None:
        _peft.save(net, folder)
    else:
        _placed.save(words, folder)


def load(net: "nn.Module", family: Family, folder: Path, method: Any, kind: str) -> "nn.Module":
    """A fresh base with what `save` wrote for a method with `tokens` and a `place`."""
    from tunesmith.methods import _placed

    if method.place == "start":
        return _peft.load(net, folder, kind)
    return _placed.load(net, family, folder, sizes(net, method.tokens))


def place_objection(method: Any, plan: Any) -> str | None:
    """Why the virtual tokens cannot stand where they should, in that plan."""
    if method.place == "start" or plan is None or plan.task.talks:
        return None
    return (
        f"{method.name}: place: {method.place} is a place in a conversation, and the rows of {plan.task.name} are "
        "none. Remove place: virtual tokens then stand in front"
    )


def place_refusal(method: Any, family: Family) -> str | None:
    """Why that family cannot have virtual tokens within rows."""
    if method.place == "start" or family.purpose != "seq2seq":
        return None
    return (
        f"{method.name}: an encoder-decoder ({family.name}) reads a source and no conversation; its virtual tokens "
        "stand before that. Remove place, or set place: start"
    )


def on_meta(net: "nn.Module") -> bool:
    """Whether the network has shapes and no numbers, as when parameters are only counted."""
    return bool(vocabulary(net).is_meta)


def first_token(net: "nn.Module") -> "Tensor":
    """Embedding (E) of the token that real rows begin with ([CLS], <s>, BOS); the mean of all where there is none."""
    tokenizer, words = beside(net), vocabulary(net)
    number = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id
    return words.mean(dim=0) if number is None else words[number]


def beside(net: "nn.Module") -> Any:
    """The tokenizer in the base's own folder, or in the local cache of its hub id. Never asks the network."""
    from transformers import AutoTokenizer

    folder = getattr(plain(net), "name_or_path", "")
    with quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError):
            tokenizer = None
    if tokenizer is None or len(tokenizer) <= len(tokenizer.all_special_tokens):  # made up from the model's type
        raise TunesmithError(
            f"base: no tokenizer beside {Path(folder).name or 'a network made in memory'}, and virtual tokens start "
            "from its words. Save the tokenizer into the base's folder"
        )
    return tokenizer


def words_of(net: "nn.Module", text: str, count: int) -> "Tensor":
    """Embeddings (count, E) of a text's tokens, repeated or cut to `count`."""
    ids = beside(net)(text, add_special_tokens=False)["input_ids"]
    if not ids:
        raise TunesmithError(f"method.text: '{text}' has no tokens to start from")
    return vocabulary(net)[[ids[i % len(ids)] for i in range(count)]]


def nearest(net: "nn.Module", family: Family, tokenizer: Any, count: int = 3) -> list[Learnt]:
    """For each virtual token its most similar words by cosine, with the similarity."""
    from torch.nn.functional import normalize

    tokens, words = virtual(net).float().cpu(), vocabulary(net).float().cpu()
    values, ids = (normalize(tokens, dim=1) @ normalize(words, dim=1).T).topk(count, dim=1)
    rows = []
    for number, (near, cosines) in enumerate(zip(ids.tolist(), values.tolist(), strict=True)):
        names = " ".join(str(tokenizer.convert_ids_to_tokens(i)) for i in near)
        rows.append((number, names, float(cosines[0]), float(tokens[number].norm())))
    caption = "Words nearest to each virtual token (cosine; below about 0.5 the token has left the words)"
    return [Learnt(caption, ("token", "nearest words", "cosine", "length"), tuple(rows))]

"""Encoder-decoders: bases that read a source with one stack of blocks and write a target with another.

    source -> encoder blocks 0 .. E-1 -> states        target so far -> decoder blocks E .. E+D-1 -> head -> next token
                                           \\____________________________/ cross-attention

Blocks are counted from the bottom, the decoder's above the encoder's, because that is the order in which they run and
in which they may be frozen: "the top 2" are the decoder's last two, and where nothing below block E moves, the encoder
says the same of a row in every epoch. Layers are named as in the decoder; `also` says what plays the same part under
another name, in a block of either stack, so that "query" means self- and cross-attention.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tunesmith.bases.architecture import Family, Purpose, Sense, in_blocks, plain
from tunesmith.errors import TunesmithError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class EncoderDecoder(Family):
    """A family with two stacks. `blocks` are the encoder's; the other paths of layers are relative to a block."""

    purpose: Purpose = "seq2seq"
    encoder: str = "encoder"
    """Path of the encoder: its blocks, and what runs before and behind them."""
    upper: str = ""
    """Path of the decoder's list of blocks."""
    depth: str = "num_layers"
    """What config.json calls the number of the encoder's blocks."""
    also: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Layer -> further layers that play the same part: those of cross-attention, and other names in the encoder."""
    hears: bool = False
    """Whether it reads sounds."""
    config: Mapping[str, Any] = field(default_factory=dict)
    lower: int = 0
    """How many blocks the encoder has; known of a base at hand (`sized`)."""

    @property
    def sense(self) -> Sense:
        return "sound" if self.hears else "text"

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.config

    def sized(self, config: Mapping[str, Any]) -> "EncoderDecoder":
        """The family of a base with that config.json."""
        if not config.get(self.depth):
            raise TunesmithError(f"base: its config.json does not say {self.depth}, the number of its encoder's blocks")
        return replace(self, lower=int(config[self.depth]))

    def everywhere(self, layers: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for layer in layers for name in (layer, *self.also.get(layer, ()))))

    def pattern(self, layers: Sequence[str], blocks: Iterable[int]) -> str:
        split, names, numbers = self._split, self.everywhere(layers), list(blocks)
        stacks = (
            (self.blocks, [b for b in numbers if b < split]), (self.upper, [b - split for b in numbers if b >= split])
        )  # fmt: skip
        return rf"(.*\.)?({'|'.join(in_blocks(path, own, names) for path, own in stacks if own)})"

    def block_list(self, net: "nn.Module") -> "list[nn.Module]":
        base = plain(net)
        return [block for path in (self.blocks, self.upper) for block in base.get_submodule(path).children()]

    def block_of(self, parameter: str) -> int | None:
        name = self.bare(parameter)
        for path, below in ((self.blocks, 0), (self.upper, self._split)):
            if found := re.match(rf"{re.escape(path)}\.(\d+)\.", name):
                return below + int(found.group(1))
        return None

    def block_path(self, number: int) -> str:
        return f"{self.blocks}.{number}" if number < self._split else f"{self.upper}.{number - self._split}"

    def in_block(self, path: str) -> str:
        return re.sub(rf"^({re.escape(self.blocks)}|{re.escape(self.upper)})\.\d+\.", "", path)

    def resting(self, still: int) -> tuple[str, ...]:
        return (self.encoder,) if still >= self._split else ()

    @property
    def _split(self) -> int:
        """Number of the decoder's first block."""
        assert self.lower, "the family of a base at hand knows its size"
        return self.lower


def _t5_like(name: str) -> EncoderDecoder:
    self_attention, cross, dense = "layer.0.SelfAttention", "layer.1.EncDecAttention", "DenseReluDense"
    inner = tuple(f"layer.2.{dense}.{w}" for w in ("wi", "wi_0", "wi_1"))  # one, or in newer ones a gated pair
    also = {f"{self_attention}.{x}": (f"{cross}.{x}",) for x in "qkvo"}
    also |= {f"layer.2.{path}": (f"layer.1.{path}",) for path in (dense, *(f"{dense}.{w}" for w in _DENSE))}
    return EncoderDecoder(
        name=name, trunk="", blocks="encoder.block", upper="decoder.block", encoder="encoder", depth="num_layers",
        embeddings=("shared",), head=(), reads="last", query=f"{self_attention}.q", key=f"{self_attention}.k",
        value=f"{self_attention}.v", attention_out=f"{self_attention}.o", feed_forward_in=inner,
        feed_forward_out=f"layer.2.{dense}.wo", attention_norm="layer.0.layer_norm", feed_forward=f"layer.2.{dense}",
        feed_forward_norm="layer.2.layer_norm", post_norm=False, prefix=False, language_head="lm_head", also=also,
    )  # fmt: skip


_DENSE = ("wi", "wi_0", "wi_1", "wo")


def _bart_like(name: str, *, post_norm: bool) -> EncoderDecoder:
    also = {f"self_attn.{x}_proj": (f"encoder_attn.{x}_proj",) for x in ("q", "k", "v", "out")}
    stacks = ("model.encoder", "model.decoder")
    embeddings = ("model.shared", *(f"{s}.{e}" for s in stacks for e in ("embed_positions", "layernorm_embedding")))
    return EncoderDecoder(
        name=name, trunk="model", blocks="model.encoder.layers", upper="model.decoder.layers", encoder="model.encoder",
        depth="encoder_layers", embeddings=embeddings, head=(), reads="last", query="self_attn.q_proj",
        key="self_attn.k_proj", value="self_attn.v_proj", attention_out="self_attn.out_proj", feed_forward_in=("fc1",),
        feed_forward_out="fc2", attention_norm="self_attn_layer_norm", feed_forward="",
        feed_forward_norm="final_layer_norm", post_norm=post_norm, prefix=False, language_head="lm_head", also=also,
    )  # fmt: skip


_CONVOLVED = ("model.encoder.conv1", "model.encoder.conv2", "model.encoder.embed_positions")
DICTATING = {
    "whisper": replace(
        _bart_like("whisper", post_norm=False), purpose="speech", hears=True, language_head="proj_out",
        embeddings=(*_CONVOLVED, "model.decoder.embed_tokens", "model.decoder.embed_positions"),
        config={"apply_spec_augment": False, "encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0},
    )
}  # fmt: skip
"""Networks that hear and write, by model_type: the same bases are in `sound.py` for what classifies. Nothing is masked
or left out at random by the library: a resumed run would not repeat that."""
STACKED = (
    _t5_like("t5"),
    _t5_like("mt5"),
    _bart_like("bart", post_norm=True),
    _bart_like("mbart", post_norm=False),
)

"""What a family of architectures is: where the trunk, its blocks and its head are, and which layers do what.

A family is a row of facts about transformers' `AutoModelForSequenceClassification`; its language-modelling classes,
causal or masked, have the same trunk, and for a head the pretrained one, which no method has to train. The rows are in
`family.py`; encoder-decoders, which have two stacks of blocks, in `stacked.py`; networks that see, in `vision.py`;
networks that hear, in `sound.py`; those that see and read side by side, in `towers.py`; those that write of what they
see, in `sighted.py`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn

Purpose = Literal[
    "classify", "tag", "embed", "language", "masked", "seq2seq", "image", "sound", "ctc", "image_text",
    "image_to_text", "speech",
]  # fmt: skip
"""Which Auto class: one with a new head, for texts, for each of their tokens, for images, for sounds, or for the
characters of speech; the headless model; two towers, for images and texts, as they were pretrained; the causal or the
masked language model, the one that sees images, or the encoder-decoder, of texts or
of speech, as it was pretrained. No task asks for that: the architecture decides
what "language" is."""
WORD_HEAD = "tunesmith_word_head"
"""Field of a configuration: `new` where the head over the vocabulary is drawn anew, because the base ships none."""
Sense = Literal["text", "images", "sound", "images and texts", "text beside images"]
"""What a network is given."""
State = Literal["first", "pooled", "mean", "every"]
"""What a head on images or sounds is given of a row: the first token's state, the trunk's `pooler_output`, the mean
over time (which a linear layer before the mean does not change), or the state at every step in time."""


@dataclass(frozen=True)
class Family:
    """Names inside one architecture. Paths of layers are relative to a block."""

    name: str
    """`config.model_type`."""
    trunk: str
    """Attribute of the Auto class that holds the headless model; empty where it is the headless model itself."""
    blocks: str
    """Path from the Auto class to its list of blocks."""
    embeddings: tuple[str, ...]
    """Paths of everything that runs before the first block."""
    head: tuple[str, ...]
    """Paths of the head modules, pooler included: trained by every method, and saved with it."""
    reads: Literal["first", "last"]
    """Which position the head reads: the first ([CLS]) or the last token of a row."""
    query: str
    key: str
    value: str
    attention_out: str
    feed_forward_in: tuple[str, ...]
    feed_forward_out: str
    attention_norm: str
    """Norm of the attention sublayer, for Houlsby's adapter place; before or after it by `post_norm`."""
    feed_forward: str
    """Module around the feed-forward sublayer, for parallel adapters: it maps the sublayer's input to its output, or,
    in BERT's layout, takes (intermediate, input) and adds the input itself."""
    feed_forward_norm: str
    """Norm of the feed-forward sublayer, for Pfeiffer's adapter place; before or after it by `post_norm`."""
    post_norm: bool
    """True where LayerNorm follows the residual sum (BERT), False where it precedes the sublayer (Llama)."""
    prefix: bool
    """Whether the forward pass takes past keys and values, which prefix tuning needs."""
    decoder: bool = False
    rotary: bool = False
    """Whether positions are rotations of queries and keys."""
    language_head: str = ""
    """Module from states to words in the causal language-modelling class; empty where there is none."""
    masked_head: tuple[str, ...] = ()
    """Modules from states to words in the masked language-modelling class, first to last; those that a base lacks are
    another version's (DeBERTa's two). Empty where there are none."""
    purpose: Purpose = "classify"

    @property
    def headed(self) -> bool:
        """Whether the Auto class of this purpose gets a new head."""
        return self.purpose in ("classify", "tag", "image", "sound", "ctc")

    @property
    def decodes(self) -> bool:
        """Whether what it reads and what it writes are sequences apart."""
        return self.purpose in ("seq2seq", "speech")

    @property
    def sense(self) -> Sense:
        """What it is given."""
        return "text"

    @property
    def settings(self) -> Mapping[str, Any]:
        """Fields of its configuration that are always set so."""
        return {}

    @property
    def linears(self) -> tuple[str, ...]:
        """Every linear layer of a block."""
        attention = (self.query, self.key, self.value, self.attention_out)
        return (*attention, *self.feed_forward_in, self.feed_forward_out)

    @property
    def word_heads(self) -> tuple[str, ...]:
        """Paths from states to words in the Auto class of this purpose; none where it has a new head."""
        if self.purpose == "masked":
            return self.masked_head
        return () if self.headed or self.purpose in ("embed", "image_text") else (self.language_head,)

    def is_word_head(self, parameter: str) -> bool:
        """Whether a parameter belongs to the pretrained head over the vocabulary."""
        name = self.bare(parameter)
        return any(name.startswith(f"{path}.") for path in self.word_heads)

    def headless(self) -> "Family":
        """This family as its headless model alone, whose paths begin at the trunk."""
        embeddings = tuple(path.removeprefix(f"{self.trunk}.") for path in self.embeddings)
        return replace(
            self, trunk="", blocks=self.blocks.removeprefix(f"{self.trunk}."), embeddings=embeddings, head=(),
            purpose="embed",
        )  # fmt: skip

    def pattern(self, layers: Sequence[str], blocks: Iterable[int]) -> str:
        """A regular expression for PEFT's `target_modules`: these layers in these blocks, and nothing else.

        A name list would match suffixes everywhere: `output.dense` would also hit `attention.output.dense`.
        """
        return rf"(.*\.)?{in_blocks(self.blocks, blocks, self.everywhere(layers))}"

    def everywhere(self, layers: Sequence[str]) -> tuple[str, ...]:
        """These layers and all that play the same part under another name."""
        return tuple(layers)

    def block_path(self, number: int) -> str:
        """Path of a block."""
        return f"{self.blocks}.{number}"

    def in_block(self, path: str) -> str:
        """The path of a module relative to its block; unchanged outside the blocks."""
        return re.sub(rf"^{re.escape(self.blocks)}\.\d+\.", "", path)

    def resting(self, still: int) -> tuple[str, ...]:
        """Paths of what rests as a whole, beside its blocks, where the lowest `still` blocks never move."""
        return ()

    def rests(self, parameter: str) -> bool:
        """Whether a parameter belongs to a part of the base that the task leaves as it is, under every method."""
        return False

    @property
    def head_modules(self) -> tuple[str, ...]:
        """What PEFT is told of the head: names that no other module ends with."""
        return tuple(path.split(".")[-1] for path in self.head)

    def width(self, config: Mapping[str, Any]) -> int:
        """Width of the states of a base with that config.json; 768 where it does not say."""
        return int(config.get("hidden_size") or config.get("dim") or 768)

    def block_list(self, net: "nn.Module") -> "list[nn.Module]":
        """The blocks of a plain or PEFT-wrapped network, bottom first."""
        return list(plain(net).get_submodule(self.blocks).children())

    def bare(self, parameter: str) -> str:
        """`bare_name`, also where the trunk itself is called `model` and only a prompt encoder was put around it."""
        name = bare_name(parameter)
        inside = self.trunk == "model" and name.split(".")[0] in _INSIDE
        return f"model.{name}" if inside else name

    def is_head(self, parameter: str) -> bool:
        """Whether a parameter of the network (dotted name, wrapped or not) belongs to the head."""
        name = self.bare(parameter)
        return any(name == h or name.startswith(h + ".") for h in self.head)

    def block_of(self, parameter: str) -> int | None:
        """Number of the block that holds a parameter; None outside the blocks."""
        found = re.match(rf"{re.escape(self.blocks)}\.(\d+)\.", self.bare(parameter))
        return int(found.group(1)) if found else None

    def above_blocks(self, parameter: str) -> bool:
        """Whether a parameter belongs to what reads the last block: the head, or the language head."""
        return self.is_head(parameter) or self.is_word_head(parameter)

    def is_embedding(self, parameter: str) -> bool:
        """Whether a parameter runs before the first block."""
        name = self.bare(parameter)
        return any(name == e or name.startswith(e + ".") for e in self.embeddings)


_INSIDE = ("layers", "embed_tokens", "norm", "final_layernorm", "encoder", "decoder", "shared")


def in_blocks(path: str, blocks: Iterable[int], layers: Sequence[str]) -> str:
    """A regular expression for these layers in these blocks of one list."""
    numbers, names = "|".join(str(b) for b in blocks), "|".join(re.escape(name) for name in layers)
    return rf"{re.escape(path)}\.({numbers})\.({names})"


def plain(net: "nn.Module") -> "nn.Module":
    """The transformers model inside a network that PEFT may have wrapped (any number of times)."""
    while hasattr(net, "get_base_model"):
        net = net.get_base_model()  # type: ignore[operator]
    return net


def bare_name(parameter: str) -> str:
    """A parameter's name without what PEFT's wrappers put around it."""
    name = re.sub(r"^(base_model\.(model\.)?)+", "", parameter)
    return re.sub(r"\.(modules_to_save\.[^.]+|original_module|base_layer)(?=\.)", "", name)


_CLASSES: dict[str, Purpose] = {
    "ForSequenceClassification": "classify", "ForTokenClassification": "tag",
    "ForImageClassification": "image", "ForAudioClassification": "sound", "ForCTC": "ctc",
    "ForMaskedLM": "masked", "LMHeadModel": "language", "CLIPModel": "image_text", "SiglipModel": "image_text",
    "Model": "embed",
}  # fmt: skip
"""By the end of a class name, the longer ones first."""


def purpose_of(net: "nn.Module") -> Purpose:
    """Which Auto class a network is."""
    base = plain(net)
    for ending, purpose in _CLASSES.items():
        if type(base).__name__.endswith(ending):
            hears = getattr(base, "main_input_name", "") == "input_values"  # as wav2vec2 calls its classifier of clips
            return "sound" if hears and purpose == "classify" else purpose
    if hasattr(base.config, "vision_config"):
        return "image_to_text"
    if not getattr(base.config, "is_encoder_decoder", False):
        return "language"
    return "speech" if getattr(base, "main_input_name", "") == "input_features" else "seq2seq"

"""Families of architectures: where the trunk, its blocks and its head are, and which layers do what.

A family is a row of facts about transformers' `AutoModelForSequenceClassification`; its language-modelling class has
the same trunk, and for a head the pretrained one, which no method has to train. Everything that has to name a module
(freezing, adapters, caches) asks here, so that a new architecture is one new row.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from tunesmith.errors import TunesmithError, unknown

if TYPE_CHECKING:
    from torch import nn

Kind = Literal["attention", "feed_forward"]
Purpose = Literal["classify", "language"]
"""Which Auto class: one with a new head, or the causal language model as it was pretrained."""


@dataclass(frozen=True)
class Family:
    """Names inside one architecture. Paths of layers are relative to a block."""

    name: str
    """`config.model_type`."""
    trunk: str
    """Attribute of the Auto class that holds the headless model."""
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
    """Module from states to words in the language-modelling class; empty where there is none."""
    purpose: Purpose = "classify"

    @property
    def linears(self) -> tuple[str, ...]:
        """Every linear layer of a block."""
        attention = (self.query, self.key, self.value, self.attention_out)
        return (*attention, *self.feed_forward_in, self.feed_forward_out)

    def pattern(self, layers: Sequence[str], blocks: Iterable[int]) -> str:
        """A regular expression for PEFT's `target_modules`: these layers in these blocks, and nothing else.

        A name list would match suffixes everywhere: `output.dense` would also hit `attention.output.dense`.
        """
        numbers = "|".join(str(b) for b in blocks)
        names = "|".join(re.escape(name) for name in layers)
        return rf"(.*\.)?{re.escape(self.blocks)}\.({numbers})\.({names})"

    def block_list(self, net: "nn.Module") -> "list[nn.Module]":
        """The blocks of a plain or PEFT-wrapped network, bottom first."""
        return list(plain(net).get_submodule(self.blocks).children())

    def bare(self, parameter: str) -> str:
        """`bare_name`, also where the trunk itself is called `model` and only a prompt encoder was put around it."""
        name = bare_name(parameter)
        inside = self.trunk == "model" and name.split(".")[0] in ("layers", "embed_tokens", "norm", "final_layernorm")
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
        name = self.bare(parameter)
        return self.is_head(parameter) or bool(self.language_head and name.startswith(f"{self.language_head}."))

    def is_embedding(self, parameter: str) -> bool:
        """Whether a parameter runs before the first block."""
        name = self.bare(parameter)
        return any(name == e or name.startswith(e + ".") for e in self.embeddings)


def plain(net: "nn.Module") -> "nn.Module":
    """The transformers model inside a network that PEFT may have wrapped (any number of times)."""
    while hasattr(net, "get_base_model"):
        net = net.get_base_model()  # type: ignore[operator]
    return net


def bare_name(parameter: str) -> str:
    """A parameter's name without what PEFT's wrappers put around it."""
    name = re.sub(r"^(base_model\.(model\.)?)+", "", parameter)
    return re.sub(r"\.(modules_to_save\.[^.]+|original_module|base_layer)(?=\.)", "", name)


def _bert_like(name: str, trunk: str, head: tuple[str, ...], *, prefix: bool, suffix: str = "") -> Family:
    embeddings: tuple[str, ...] = (f"{trunk}.embeddings",)
    if name == "electra":
        embeddings = (*embeddings, f"{trunk}.embeddings_project")
    if name == "deberta-v2":  # relative positions are one table for all blocks, normed on the way
        embeddings = (*embeddings, f"{trunk}.encoder.rel_embeddings", f"{trunk}.encoder.LayerNorm")
    return Family(
        name=name, trunk=trunk, blocks=f"{trunk}.encoder.layer", embeddings=embeddings, head=head, reads="first",
        query=f"attention.self.query{suffix}", key=f"attention.self.key{suffix}",
        value=f"attention.self.value{suffix}", attention_out="attention.output.dense",
        feed_forward_in=("intermediate.dense",), feed_forward_out="output.dense",
        attention_norm="attention.output.LayerNorm", feed_forward="output", feed_forward_norm="output.LayerNorm",
        post_norm=True, prefix=prefix,
    )  # fmt: skip


def _llama_like(name: str) -> Family:
    return Family(
        name=name, trunk="model", blocks="model.layers", embeddings=("model.embed_tokens",), head=("score",),
        reads="last", query="self_attn.q_proj", key="self_attn.k_proj", value="self_attn.v_proj",
        attention_out="self_attn.o_proj", feed_forward_in=("mlp.gate_proj", "mlp.up_proj"),
        feed_forward_out="mlp.down_proj", attention_norm="input_layernorm", feed_forward="mlp",
        feed_forward_norm="post_attention_layernorm", post_norm=False, prefix=True, decoder=True,
        rotary=True, language_head="lm_head",
    )  # fmt: skip


_PHI = replace(
    _llama_like("phi"), attention_out="self_attn.dense", feed_forward_in=("mlp.fc1",), feed_forward_out="mlp.fc2",
    feed_forward_norm="input_layernorm",
)  # fmt: skip
"""Attention and feed-forward side by side, behind one norm."""
_GPT2 = Family(
    name="gpt2", trunk="transformer", blocks="transformer.h", embeddings=("transformer.wte", "transformer.wpe"),
    head=("score",), reads="last", query="attn.c_attn", key="attn.c_attn", value="attn.c_attn",
    attention_out="attn.c_proj", feed_forward_in=("mlp.c_fc",), feed_forward_out="mlp.c_proj", attention_norm="ln_1",
    feed_forward="mlp", feed_forward_norm="ln_2", post_norm=False, prefix=True, decoder=True, language_head="lm_head",
)  # fmt: skip
"""Query, key and value are one layer."""
_GPT_NEOX = Family(
    name="gpt_neox", trunk="gpt_neox", blocks="gpt_neox.layers", embeddings=("gpt_neox.embed_in",), head=("score",),
    reads="last", query="attention.query_key_value", key="attention.query_key_value",
    value="attention.query_key_value", attention_out="attention.dense", feed_forward_in=("mlp.dense_h_to_4h",),
    feed_forward_out="mlp.dense_4h_to_h", attention_norm="input_layernorm", feed_forward="mlp",
    feed_forward_norm="post_attention_layernorm", post_norm=False, prefix=True, decoder=True,
    rotary=True, language_head="embed_out",
)  # fmt: skip


_DISTILBERT = Family(
    name="distilbert", trunk="distilbert", blocks="distilbert.transformer.layer",
    embeddings=("distilbert.embeddings",), head=("pre_classifier", "classifier"), reads="first",
    query="attention.q_lin", key="attention.k_lin", value="attention.v_lin", attention_out="attention.out_lin",
    feed_forward_in=("ffn.lin1",), feed_forward_out="ffn.lin2", attention_norm="sa_layer_norm",
    feed_forward="ffn", feed_forward_norm="output_layer_norm", post_norm=True, prefix=False,
)  # fmt: skip

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        _bert_like("bert", "bert", ("bert.pooler", "classifier"), prefix=True),
        _bert_like("roberta", "roberta", ("classifier",), prefix=True),
        _bert_like("xlm-roberta", "roberta", ("classifier",), prefix=True),
        _bert_like("electra", "electra", ("classifier",), prefix=True),
        _bert_like("deberta-v2", "deberta", ("pooler", "classifier"), prefix=False, suffix="_proj"),
        _DISTILBERT,
        _llama_like("llama"),
        _llama_like("qwen2"),
        _llama_like("qwen3"),
        _llama_like("mistral"),
        _llama_like("gemma"),
        _PHI,
        _GPT2,
        _GPT_NEOX,
    )
}


def family_of(model_type: str, purpose: Purpose = "classify") -> Family:
    """The family of a configuration's `model_type`. Raises TunesmithError for one we have no row for, or that cannot
    serve the purpose."""
    if model_type not in FAMILIES:
        raise TunesmithError(f"base: {unknown('family', model_type, FAMILIES)}")
    family = FAMILIES[model_type]
    if purpose == "classify":
        return family
    if not family.language_head:
        able = ", ".join(name for name, f in FAMILIES.items() if f.language_head)
        raise TunesmithError(f"base: {model_type} reads text and cannot write it. Families that can: {able}")
    return replace(family, head=(), purpose=purpose)


def purpose_of(net: "nn.Module") -> Purpose:
    """Which Auto class a network is."""
    return "classify" if type(plain(net)).__name__.endswith("ForSequenceClassification") else "language"

"""How each kind of architecture is run packed: what is below its blocks, its last block at read positions, its head.

The blocks themselves are the library's own code: attention is exchanged through transformers' interface for that.
Only the last block is spelled out, because the library would compute it at every position and the head reads one of
each row. Keys and values are needed everywhere; queries, the feed-forward part and the norms only where it reads.

Shape letters as in `packing`, H width of the network, C outputs. Everything below the head is (1, T, H).
"""

import sys
from abc import ABC, abstractmethod
from typing import Any, cast

import torch
from torch.nn.functional import gelu

from tunesmith.bases.family import Family, plain
from tunesmith.engine.packing import Pack, attend_read
from tunesmith.tasks import Encoded

State = torch.Tensor


class Layout(ABC):
    """One kind of architecture. `trunk` is the headless model, `auto` the Auto class around it, both unwrapped."""

    @abstractmethod
    def embed(self, trunk: Any, pack: Pack, words: State | None) -> State:
        """States below the first block. `words` are word embeddings that replace the look-up of `pack.ids_T`."""

    @abstractmethod
    def head(self, auto: Any, trunk: Any, states_BH: State, *, mean: bool) -> State:
        """Logits (B, C) from the states that the head reads: those of one position, or with `mean` the means."""

    @abstractmethod
    def tail(self, block: Any, states: State, pack: Pack, inputs: dict[str, Any]) -> State:
        """The last block at the read positions alone: (1, Q, H)."""

    def language_head(self, auto: Any) -> Any:
        """The module from states to logits over the vocabulary, in the Auto classes for language models."""
        return auto.get_output_embeddings()

    def before_words(self, auto: Any, states: State) -> State:
        """What a language model does with states before that module."""
        return states

    def inputs(self, trunk: Any, states: State, pack: Pack) -> dict[str, Any]:
        """What every block wants to know besides the states."""
        return {}

    def finish(self, trunk: Any, states: State) -> State:
        """What comes after the last block."""
        return states

    def words(self, trunk: Any, pack: Pack, virtual_PE: State) -> State:
        """Word embeddings (1, T, E) with virtual tokens in their places."""
        words_TE = trunk.get_input_embeddings()(pack.ids_T)
        assert pack.virtual_BP is not None
        rows = len(pack.virtual_BP)
        places = pack.virtual_BP.flatten()
        values = virtual_PE.to(words_TE.dtype).repeat(rows, 1)
        return cast("State", words_TE.index_copy(0, places, values).unsqueeze(0))


def _heads(states: State, width: int) -> State:
    """(1, N, A x D) -> (A, N, D)."""
    return states[0].reshape(states.shape[1], -1, width).transpose(0, 1)


def _drop(module: Any, share: float) -> float:
    return float(share) if module.training else 0.0


class Bert(Layout):
    """BERT, RoBERTa, XLM-R, ELECTRA: norm after the sum, a feed-forward part of two modules."""

    def embed(self, trunk: Any, pack: Pack, words: State | None) -> State:
        first = getattr(trunk.embeddings, "padding_idx", None)  # RoBERTa counts positions from padding_idx + 1
        positions = pack.positions_T if first is None else pack.positions_T + first + 1
        types = None if pack.types_T is None else pack.types_T.unsqueeze(0)
        ids = pack.ids_T.unsqueeze(0) if words is None else None
        states = trunk.embeddings(
            input_ids=ids, token_type_ids=types, position_ids=positions.unsqueeze(0), inputs_embeds=words
        )
        return cast("State", trunk.embeddings_project(states) if hasattr(trunk, "embeddings_project") else states)

    def tail(self, block: Any, states: State, pack: Pack, inputs: dict[str, Any]) -> State:
        layer, size = block.attention.self, block.attention.self.attention_head_size
        read = states[:, pack.reads_Q]
        parts = (_heads(layer.query(read), size), _heads(layer.key(states), size), _heads(layer.value(states), size))
        seen = attend_read(pack, parts, _drop(layer, layer.dropout.p), layer.scaling)
        attended = block.attention.output(seen.flatten(1).unsqueeze(0), read)
        return cast("State", block.output(block.intermediate(attended), attended))

    def head(self, auto: Any, trunk: Any, states_BH: State, *, mean: bool) -> State:
        first = states_BH.unsqueeze(1)  # heads pick position 0 themselves
        pooler = getattr(trunk, "pooler", None)
        if pooler is None:
            return cast("State", auto.classifier(first))
        return cast("State", auto.classifier(auto.dropout(states_BH if mean else pooler(first))))

    def before_words(self, auto: Any, states: State) -> State:
        if hasattr(auto, "cls"):
            return cast("State", auto.cls.predictions.transform(states))
        if hasattr(auto, "generator_predictions"):
            return cast("State", auto.generator_predictions(states))
        return cast("State", auto.lm_head.layer_norm(gelu(auto.lm_head.dense(states))))


class DistilBert(Layout):
    """DistilBERT: like BERT with other names and a head of two layers in the Auto class."""

    def embed(self, trunk: Any, pack: Pack, words: State | None) -> State:
        ids = pack.ids_T.unsqueeze(0) if words is None else None
        return cast("State", trunk.embeddings(ids, words, pack.positions_T.unsqueeze(0)))

    def tail(self, block: Any, states: State, pack: Pack, inputs: dict[str, Any]) -> State:
        layer, size = block.attention, block.attention.attention_head_size
        read = states[:, pack.reads_Q]
        parts = (_heads(layer.q_lin(read), size), _heads(layer.k_lin(states), size), _heads(layer.v_lin(states), size))
        seen = attend_read(pack, parts, _drop(layer, layer.dropout.p), layer.scaling)
        attended = block.sa_layer_norm(layer.out_lin(seen.flatten(1).unsqueeze(0)) + read)
        return cast("State", block.output_layer_norm(block.ffn(attended) + attended))

    def head(self, auto: Any, trunk: Any, states_BH: State, *, mean: bool) -> State:
        hidden = torch.relu(auto.pre_classifier(states_BH))
        return cast("State", auto.classifier(auto.dropout(hidden)))

    def before_words(self, auto: Any, states: State) -> State:
        return cast("State", auto.vocab_layer_norm(auto.activation(auto.vocab_transform(states))))


class Llama(Layout):
    """Llama, Qwen2, Qwen3, Mistral: norm before each part, rotary positions, the last token is read."""

    def embed(self, trunk: Any, pack: Pack, words: State | None) -> State:
        return cast("State", trunk.embed_tokens(pack.ids_T.unsqueeze(0)) if words is None else words)

    def inputs(self, trunk: Any, states: State, pack: Pack) -> dict[str, Any]:
        positions = pack.positions_T.unsqueeze(0)
        return {"position_ids": positions, "position_embeddings": trunk.rotary_emb(states, position_ids=positions)}

    def tail(self, block: Any, states: State, pack: Pack, inputs: dict[str, Any]) -> State:
        layer, size = block.self_attn, block.self_attn.head_dim
        normed = block.input_layernorm(states)
        query, key = _heads(layer.q_proj(normed[:, pack.reads_Q]), size), _heads(layer.k_proj(normed), size)
        if hasattr(layer, "q_norm"):  # Qwen3
            query, key = layer.q_norm(query), layer.k_norm(key)
        cos, sin = inputs["position_embeddings"]
        rotate = sys.modules[type(layer).__module__].rotate_half
        key = key * cos + rotate(key) * sin
        cos, sin = cos[:, pack.reads_Q], sin[:, pack.reads_Q]
        query = query * cos + rotate(query) * sin
        drop = _drop(layer, layer.attention_dropout)
        seen = attend_read(pack, (query, key, _heads(layer.v_proj(normed), size)), drop, layer.scaling)
        attended = states[:, pack.reads_Q] + layer.o_proj(seen.flatten(1).unsqueeze(0))
        return cast("State", attended + block.mlp(block.post_attention_layernorm(attended)))

    def finish(self, trunk: Any, states: State) -> State:
        return cast("State", trunk.norm(states))

    def head(self, auto: Any, trunk: Any, states_BH: State, *, mean: bool) -> State:
        return cast("State", auto.score(states_BH))


_LAYOUTS: dict[str, Layout] = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "electra"), Bert()),
    "distilbert": DistilBert(),
    **dict.fromkeys(("llama", "qwen2", "qwen3", "mistral"), Llama()),
}


def layout_of(family: Family) -> Layout | None:
    """How that family is run packed; None where it is not (DeBERTa's attention looks up relative positions)."""
    return _LAYOUTS.get(family.name)


def beyond_window(net: Any, rows: Encoded) -> str | None:
    """Why rows are too long for attention to the whole row, where the base attends to a sliding window alone."""
    config: Any = plain(net.auto).config
    window = getattr(config, "sliding_window", None)
    if window and getattr(config, "use_sliding_window", True) and int(rows.lengths.max()) > window:
        return f"rows are longer than the base's attention window of {window} tokens"
    return None

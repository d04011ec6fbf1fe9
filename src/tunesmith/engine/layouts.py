"""How each kind of architecture is run packed: what is below its blocks, its last block at read positions, its head.

The blocks themselves are the library's own code: attention is exchanged through transformers' interface for that.
Only the last block is spelled out, because the library would compute it at every position and the head reads one of
each row. Keys and values are needed everywhere; queries, the feed-forward part and the norms only where it reads.
Encoders are here, decoders in `causal_layouts`.
"""

from typing import Any, cast

import torch
from torch.nn.functional import gelu

from tunesmith.bases.family import Family, plain
from tunesmith.engine.causal_layouts import Gpt2, GptNeox, Llama, Phi
from tunesmith.engine.layout import Layout, State, drop_share, heads
from tunesmith.engine.packing import Pack, attend_read
from tunesmith.tasks import Encoded


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
        parts = (heads(layer.query(read), size), heads(layer.key(states), size), heads(layer.value(states), size))
        seen = attend_read(pack, parts, drop_share(layer, layer.dropout.p), layer.scaling)
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
        parts = (heads(layer.q_lin(read), size), heads(layer.k_lin(states), size), heads(layer.v_lin(states), size))
        seen = attend_read(pack, parts, drop_share(layer, layer.dropout.p), layer.scaling)
        attended = block.sa_layer_norm(layer.out_lin(seen.flatten(1).unsqueeze(0)) + read)
        return cast("State", block.output_layer_norm(block.ffn(attended) + attended))

    def head(self, auto: Any, trunk: Any, states_BH: State, *, mean: bool) -> State:
        hidden = torch.relu(auto.pre_classifier(states_BH))
        return cast("State", auto.classifier(auto.dropout(hidden)))

    def before_words(self, auto: Any, states: State) -> State:
        return cast("State", auto.vocab_layer_norm(auto.activation(auto.vocab_transform(states))))


_LAYOUTS: dict[str, Layout] = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "electra"), Bert()),
    "distilbert": DistilBert(),
    **dict.fromkeys(("llama", "qwen2", "qwen3", "mistral", "gemma"), Llama()),
    "phi": Phi(),
    "gpt2": Gpt2(),
    "gpt_neox": GptNeox(),
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

"""How each kind of decoder is run packed. Shape letters as in `packing`, H width of the network."""

import sys
from typing import Any, cast

import torch

from tunesmith.engine.layout import Layout, State, drop_share, heads
from tunesmith.engine.packing import Pack, Three, attend_read


class _Causal(Layout):
    """What decoders have in common: the last token is read, by a linear layer without more."""

    def head(self, auto: Any, trunk: Any, states_BH: State, *, mean: bool) -> State:
        return cast("State", auto.score(states_BH))


class Llama(_Causal):
    """Llama, Qwen2, Qwen3, Mistral, Gemma: norm before each part, rotary positions. What Gemma's configuration scales
    (embeddings, norms) happens inside its modules."""

    def embed(self, trunk: Any, pack: Pack, words: State | None) -> State:
        return cast("State", trunk.get_input_embeddings()(pack.ids_T.unsqueeze(0)) if words is None else words)

    def inputs(self, trunk: Any, states: State, pack: Pack) -> dict[str, Any]:
        positions = pack.positions_T.unsqueeze(0)
        return {"position_ids": positions, "position_embeddings": trunk.rotary_emb(states, position_ids=positions)}

    def tail(self, block: Any, states: State, pack: Pack, inputs: dict[str, Any]) -> State:
        layer = block.self_attn
        seen = self._seen(layer, block.input_layernorm(states), pack, inputs)
        attended = states[:, pack.reads_Q] + layer.o_proj(seen)
        return cast("State", attended + block.mlp(block.post_attention_layernorm(attended)))

    def finish(self, trunk: Any, states: State) -> State:
        return cast("State", trunk.norm(states))

    def _parts(self, layer: Any, normed: State, pack: Pack) -> Three:
        """Query (A, Q, D), key and value (A or fewer, T, D), before positions are turned in."""
        size = layer.head_dim
        query, key = heads(layer.q_proj(normed[:, pack.reads_Q]), size), heads(layer.k_proj(normed), size)
        if hasattr(layer, "q_norm"):  # Qwen3
            query, key = layer.q_norm(query), layer.k_norm(key)
        return query, key, heads(layer.v_proj(normed), size)

    def _seen(self, layer: Any, normed: State, pack: Pack, inputs: dict[str, Any]) -> State:
        """What the read positions see, (1, Q, A x D)."""
        query, key, value = self._parts(layer, normed, pack)
        cos, sin = inputs["position_embeddings"]
        key = _turned(layer, key, cos, sin)
        query = _turned(layer, query, cos[:, pack.reads_Q], sin[:, pack.reads_Q])
        seen = attend_read(pack, (query, key, value), drop_share(layer, layer.attention_dropout), layer.scaling)
        return seen.flatten(1).unsqueeze(0)


def _turned(layer: Any, states: State, cos: State, sin: State) -> State:
    """Rotary positions, as the layer's own module turns them; in some architectures (Phi, GPT-NeoX) the first part of
    a head alone."""
    width = cos.shape[-1]
    first = states[..., :width]
    turned = first * cos + sys.modules[type(layer).__module__].rotate_half(first) * sin
    return cast("State", turned if width == states.shape[-1] else torch.cat((turned, states[..., width:]), -1))


class Phi(Llama):
    """Phi: attention and feed-forward side by side behind one norm, a part of each head turned."""

    def embed(self, trunk: Any, pack: Pack, words: State | None) -> State:
        return cast("State", trunk.embed_dropout(super().embed(trunk, pack, words)))

    def tail(self, block: Any, states: State, pack: Pack, inputs: dict[str, Any]) -> State:
        normed = block.input_layernorm(states)
        attended = block.resid_dropout(block.self_attn.dense(self._seen(block.self_attn, normed, pack, inputs)))
        fed = block.resid_dropout(block.mlp(normed[:, pack.reads_Q]))
        return cast("State", attended + fed + states[:, pack.reads_Q])

    def finish(self, trunk: Any, states: State) -> State:
        return cast("State", trunk.final_layernorm(states))

    def _parts(self, layer: Any, normed: State, pack: Pack) -> Three:
        query, key, value = super()._parts(layer, normed, pack)
        if layer.qk_layernorm:
            query, key = layer.q_layernorm(query), layer.k_layernorm(key)
        return query, key, value


class GptNeox(Llama):
    """GPT-NeoX, Pythia: query, key and value are one layer, head by head; parts one after the other or side by side."""

    def embed(self, trunk: Any, pack: Pack, words: State | None) -> State:
        return cast("State", trunk.emb_dropout(super().embed(trunk, pack, words)))

    def tail(self, block: Any, states: State, pack: Pack, inputs: dict[str, Any]) -> State:
        layer, read = block.attention, states[:, pack.reads_Q]
        seen = self._seen(layer, block.input_layernorm(states), pack, inputs)
        attended = block.post_attention_dropout(layer.dense(seen)) + read
        fed = block.mlp(block.post_attention_layernorm(read if block.use_parallel_residual else attended))
        return cast("State", block.post_mlp_dropout(fed) + attended)

    def finish(self, trunk: Any, states: State) -> State:
        return cast("State", trunk.final_layer_norm(states))

    def _parts(self, layer: Any, normed: State, pack: Pack) -> Three:
        query, key, value = heads(layer.query_key_value(normed), 3 * layer.head_size).chunk(3, dim=-1)
        return query[:, pack.reads_Q], key, value


class Gpt2(_Causal):
    """GPT-2: learnt positions; query, key and value are one layer, one after the other."""

    def embed(self, trunk: Any, pack: Pack, words: State | None) -> State:
        words = trunk.wte(pack.ids_T.unsqueeze(0)) if words is None else words
        return cast("State", trunk.drop(words + trunk.wpe(pack.positions_T.unsqueeze(0))))

    def tail(self, block: Any, states: State, pack: Pack, inputs: dict[str, Any]) -> State:
        layer = block.attn
        parts = layer.c_attn(block.ln_1(states)).split(layer.split_size, dim=-1)
        query, key, value = (heads(part, layer.head_dim) for part in parts)
        drop = drop_share(layer, layer.attn_dropout.p)
        seen = attend_read(pack, (query[:, pack.reads_Q], key, value), drop, layer.scaling)
        attended = states[:, pack.reads_Q] + layer.resid_dropout(layer.c_proj(seen.flatten(1).unsqueeze(0)))
        return cast("State", attended + block.mlp(block.ln_2(attended)))

    def finish(self, trunk: Any, states: State) -> State:
        return cast("State", trunk.ln_f(states))

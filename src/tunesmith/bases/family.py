"""Families of architectures, a row each: where the trunk, its blocks and its head are, and which layers do what.

Everything that has to name a module (freezing, adapters, caches) asks here, so that a new architecture is one new row:
here, in `stacked.py` for an encoder-decoder, in `vision.py` for a network that sees, in `sound.py` for one that hears,
in `towers.py` for one that sees and reads side by side, or in `sighted.py` for one that writes of what it sees. What a
row says is in `architecture.py`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tunesmith.bases.architecture import WORD_HEAD, Family, Purpose, Sense, bare_name, plain, purpose_of
from tunesmith.bases.sighted import SIGHTED, SightedLanguage
from tunesmith.bases.sound import SOUND, SoundFamily
from tunesmith.bases.stacked import DICTATING, STACKED, EncoderDecoder
from tunesmith.bases.towers import TOWERS, TwoTowers
from tunesmith.bases.vision import VISION, VisionFamily
from tunesmith.errors import TunesmithError, unknown

__all__ = [
    "FAMILIES", "EncoderDecoder", "Family", "Purpose", "SightedLanguage", "SoundFamily", "TwoTowers", "VisionFamily",
    "bare_name", "family_of", "plain", "purpose_of",
]  # fmt: skip


def _bert_like(name: str, trunk: str, head: tuple[str, ...], *, prefix: bool, suffix: str = "") -> Family:
    embeddings: tuple[str, ...] = (f"{trunk}.embeddings",)
    if name == "electra":
        embeddings = (*embeddings, f"{trunk}.embeddings_project")
    if name == "deberta-v2":  # relative positions are one table for all blocks, normed on the way
        embeddings = (*embeddings, f"{trunk}.encoder.rel_embeddings", f"{trunk}.encoder.LayerNorm")
    words = {"electra": ("generator_predictions", "generator_lm_head"), "deberta-v2": ("cls", "lm_predictions")}
    return Family(
        name=name, trunk=trunk, blocks=f"{trunk}.encoder.layer", embeddings=embeddings, head=head, reads="first",
        query=f"attention.self.query{suffix}", key=f"attention.self.key{suffix}",
        value=f"attention.self.value{suffix}", attention_out="attention.output.dense",
        feed_forward_in=("intermediate.dense",), feed_forward_out="output.dense",
        attention_norm="attention.output.LayerNorm", feed_forward="output", feed_forward_norm="output.LayerNorm",
        post_norm=True, prefix=prefix, masked_head=words.get(name, ("cls",) if name == "bert" else ("lm_head",)),
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
    feed_forward_norm="input_layernorm", embeddings=("model.embed_tokens", "model.embed_dropout"),
)  # fmt: skip
"""Attention and feed-forward side by side, behind one norm."""
_GPT2 = Family(
    name="gpt2", trunk="transformer", blocks="transformer.h",
    embeddings=("transformer.wte", "transformer.wpe", "transformer.drop"), head=("score",), reads="last",
    query="attn.c_attn", key="attn.c_attn", value="attn.c_attn", attention_out="attn.c_proj",
    feed_forward_in=("mlp.c_fc",), feed_forward_out="mlp.c_proj", attention_norm="ln_1", feed_forward="mlp",
    feed_forward_norm="ln_2", post_norm=False, prefix=True, decoder=True, language_head="lm_head",
)  # fmt: skip
"""Query, key and value are one layer."""
_GPT_NEOX = Family(
    name="gpt_neox", trunk="gpt_neox", blocks="gpt_neox.layers",
    embeddings=("gpt_neox.embed_in", "gpt_neox.emb_dropout"), head=("score",), reads="last",
    query="attention.query_key_value", key="attention.query_key_value", value="attention.query_key_value",
    attention_out="attention.dense", feed_forward_in=("mlp.dense_h_to_4h",),
    feed_forward_out="mlp.dense_4h_to_h", attention_norm="input_layernorm", feed_forward="mlp",
    feed_forward_norm="post_attention_layernorm", post_norm=False, prefix=True, decoder=True,
    rotary=True, language_head="lm_head",
)  # fmt: skip


_DISTILBERT = Family(
    name="distilbert", trunk="distilbert", blocks="distilbert.transformer.layer",
    embeddings=("distilbert.embeddings",), head=("pre_classifier", "classifier"), reads="first",
    query="attention.q_lin", key="attention.k_lin", value="attention.v_lin", attention_out="attention.out_lin",
    feed_forward_in=("ffn.lin1",), feed_forward_out="ffn.lin2", attention_norm="sa_layer_norm",
    feed_forward="ffn", feed_forward_norm="output_layer_norm", post_norm=True, prefix=False,
    masked_head=("vocab_transform", "vocab_layer_norm", "vocab_projector"),
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
        *STACKED,
        *VISION,
        *SOUND,
        *TOWERS,
        *SIGHTED,
    )
}


_GIVEN: dict[Purpose, Sense] = {
    "image": "images", "sound": "sound", "ctc": "sound", "speech": "sound", "image_text": "images and texts",
    "image_to_text": "text beside images",
}  # fmt: skip
"""What a task gives that asks for a purpose; text, where it stands not here."""
_READS: dict[Sense, str] = {
    "text": "reads text", "images": "sees images", "sound": "hears sound",
    "images and texts": "makes comparable vectors of images and texts",
    "text beside images": "writes about an image beside its text",
}  # fmt: skip


def family_of(model_type: str, purpose: Purpose = "classify", config: Mapping[str, Any] | None = None) -> Family:
    """The family of a configuration's `model_type`, for what it really serves: a base with an encoder and a decoder
    that is asked for language answers as `seq2seq`. `config` (config.json) tells it how many blocks its encoder has.

    Raises TunesmithError for one we have no row for, or that cannot serve the purpose.
    """
    if model_type not in FAMILIES:
        raise TunesmithError(f"base: {unknown('family', model_type, FAMILIES)}")
    family = FAMILIES[model_type]
    if family.sense != (asked := _GIVEN.get(purpose, "text")):
        able = ", ".join(n for n, f in FAMILIES.items() if f.sense == asked)
        raise TunesmithError(f"base: {model_type} {_READS[family.sense]}, and the task gives it {asked}. "
                             f"Families that can: {able}")  # fmt: skip
    if isinstance(family, TwoTowers):
        return family if config is None else family.sized(config)
    if isinstance(family, VisionFamily):
        return family
    if isinstance(family, SightedLanguage):
        return family if config is None else family.around(FAMILIES, config)
    if isinstance(family, SoundFamily):
        return _hearing(family, purpose, config)
    if isinstance(family, EncoderDecoder):
        return _writing(family, purpose, config)
    return _reading(family, purpose, config or {})


def _writing(family: EncoderDecoder, purpose: Purpose, config: Mapping[str, Any] | None) -> Family:
    if purpose in ("classify", "tag", "embed"):
        able = ", ".join(name for name, f in FAMILIES.items() if f.head and f.purpose == "classify")
        raise TunesmithError(
            f"base: {family.name} writes an answer to what it reads, and has no head that classifies. Use task "
            f"generate, or a base of another family: {able}"
        )
    return family if config is None else family.sized(config)


def _reading(family: Family, purpose: Purpose, config: Mapping[str, Any]) -> Family:
    """An encoder or a decoder, with the head that its purpose asks for."""
    if purpose in ("classify", "embed"):
        return family if purpose == "classify" else family.headless()
    if purpose == "tag":  # the pooler and dense layers of other heads are left out in all of transformers' classes
        return replace(family, head=("score" if family.trunk == "model" else "classifier",), purpose=purpose)
    made = replace(family, head=(), purpose=purpose)
    if not any(made.word_heads):
        able = ", ".join(n for n, f in FAMILIES.items() if any(replace(f, purpose=purpose).word_heads))
        what = "reads text and cannot write it" if purpose == "language" else "writes text and fills no gaps"
        raise TunesmithError(f"base: {family.name} {what}. Families that can: {able}")
    if purpose == "masked" and config.get(WORD_HEAD) == "new":
        return replace(made, head=made.masked_head)  # as any head that a task brings
    return made


def _hearing(family: SoundFamily, purpose: Purpose, config: Mapping[str, Any] | None) -> Family:
    """To transcribe, a base with a head over characters, or one that writes with a decoder."""
    if purpose in ("ctc", "speech") and not family.aligns:
        if writer := DICTATING.get(family.name):
            return writer if config is None else writer.sized(config)
        able = ", ".join((*(n for n, f in FAMILIES.items() if isinstance(f, SoundFamily) and f.aligns), *DICTATING))
        raise TunesmithError(f"base: {family.name} has no head for characters (CTC), nor a decoder that writes. "
                             f"Families that have one of them: {able}")  # fmt: skip
    return family.made_for(purpose, config)

"""Networks that hear: transformers for waveforms and spectrograms, a row each.

    waveform -> convolutions -> projection, positions -> blocks 0 .. D-1 -> mean over time -> head     wav2vec2, HuBERT
    spectrogram -> patches or convolutions -> blocks 0 .. D-1 -> head                                  AST, Whisper

To transcribe, the waveform families have a head over characters at each step in time (CTC) in the place of the mean.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tunesmith.bases.architecture import Family, Purpose, Sense, State


@dataclass(frozen=True)
class SoundFamily(Family):
    """A family of `AutoModelForAudioClassification`; with `aligns`, of `AutoModelForCTC` as well."""

    purpose: Purpose = "sound"
    state: State = "mean"
    aligns: bool = False
    """Whether it has a class for CTC."""
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sense(self) -> Sense:
        return "sound"

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.config

    def made_for(self, purpose: Purpose, config: Mapping[str, Any] | None) -> "SoundFamily":
        """The family as that purpose has it, of a base with that config.json. Where the norm stands before each
        sublayer, one stands behind the last block, too."""
        made = replace(self, purpose=purpose)
        if purpose == "ctc":
            made = replace(made, head=("lm_head",), state="every")
        if not (config or {}).get("do_stable_layer_norm"):
            return made
        last = f"{self.trunk}.encoder.layer_norm"
        return replace(made, post_norm=False, embeddings=tuple(path for path in self.embeddings if path != last))


def _waveform(name: str) -> SoundFamily:
    """Time masking and dropped layers are drawn from generators of their own, and a resumed run would not repeat them:
    they are off."""
    encoder = f"{name}.encoder"
    before = ("feature_extractor", "feature_projection")
    inside = ("pos_conv_embed", "layer_norm", "dropout")
    return SoundFamily(
        name=name, trunk=name, blocks=f"{encoder}.layers", head=("projector", "classifier"), reads="first",
        embeddings=(*(f"{name}.{path}" for path in before), *(f"{encoder}.{path}" for path in inside)),
        query="attention.q_proj", key="attention.k_proj", value="attention.v_proj", attention_out="attention.out_proj",
        feed_forward_in=("feed_forward.intermediate_dense",), feed_forward_out="feed_forward.output_dense",
        attention_norm="layer_norm", feed_forward="feed_forward", feed_forward_norm="final_layer_norm", post_norm=True,
        prefix=False, aligns=True,
        config={"apply_spec_augment": False, "mask_time_prob": 0.0, "mask_feature_prob": 0.0, "layerdrop": 0.0},
    )  # fmt: skip


SOUND = (
    _waveform("wav2vec2"),
    _waveform("hubert"),
    SoundFamily(
        name="audio-spectrogram-transformer", trunk="audio_spectrogram_transformer",
        blocks="audio_spectrogram_transformer.layers", embeddings=("audio_spectrogram_transformer.embeddings",),
        head=("classifier",), reads="first", query="attention.q_proj", key="attention.k_proj", value="attention.v_proj",
        attention_out="attention.o_proj", feed_forward_in=("mlp.fc1",), feed_forward_out="mlp.fc2",
        attention_norm="layernorm_before", feed_forward="mlp", feed_forward_norm="layernorm_after", post_norm=False,
        prefix=False, state="pooled",
    ),
    SoundFamily(
        name="whisper", trunk="encoder", blocks="encoder.layers",
        embeddings=("encoder.conv1", "encoder.conv2", "encoder.embed_positions"), head=("projector", "classifier"),
        reads="first", query="self_attn.q_proj", key="self_attn.k_proj", value="self_attn.v_proj",
        attention_out="self_attn.out_proj", feed_forward_in=("fc1",), feed_forward_out="fc2",
        attention_norm="self_attn_layer_norm", feed_forward="", feed_forward_norm="final_layer_norm", post_norm=False,
        prefix=False, config={"apply_spec_augment": False, "encoder_layerdrop": 0.0},
    ),
)  # fmt: skip

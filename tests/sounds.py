"""Tones and tiny networks that hear, made offline.

`make("wav2vec2", folder)` writes config.json, model.safetensors and preprocessor_config.json of a base without a head;
`norm="layer"` makes one that is told what is padding. Weights are drawn wide, so that a wrong formula shows.
`tones(folder)` writes WAV files in class folders: low, middle and high notes of any length and loudness.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.io import wavfile
from tokenizers import pre_tokenizers
from transformers import AutoConfig, AutoModel, AutoModelForSpeechSeq2Seq, WhisperTokenizer

FAMILIES = ("wav2vec2", "hubert", "audio-spectrogram-transformer", "whisper")
CLASSES = ("high", "low", "middle")
RATE = 2000
"""Samples a second of the waveform families; a spectrogram family hears 16,000."""
PITCH = {"low": 110.0, "middle": 250.0, "high": 600.0}
_WAVEFORM: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 12,
    "conv_dim": (8, 8, 8), "conv_kernel": (10, 3, 2), "conv_stride": (5, 2, 2), "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "classifier_proj_size": 12,
    "feat_proj_dropout": 0.0, "final_dropout": 0.0, "pad_token_id": 0,
}  # fmt: skip
_SHAPES: dict[str, dict[str, Any]] = {
    "wav2vec2": _WAVEFORM, "hubert": _WAVEFORM,
    "audio-spectrogram-transformer": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
                                      "intermediate_size": 24, "max_length": 48, "num_mel_bins": 32},
    "whisper": {"d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
                "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "num_mel_bins": 16,
                "max_source_positions": 50, "max_target_positions": 40, "vocab_size": 60, "classifier_proj_size": 12,
                "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1},
}  # fmt: skip


def make(family: str, folder: Path, norm: str = "group", seed: int = 0, **sizes: Any) -> Path:
    """A complete base folder; same seed, same bytes. `norm: layer` normalises before each sublayer, too."""
    folder.mkdir(parents=True)
    more = {"feat_extract_norm": norm, "do_stable_layer_norm": norm == "layer"} if _SHAPES[family] is _WAVEFORM else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = AutoModel.from_config(AutoConfig.for_model(family, **(_SHAPES[family] | more | sizes)))
        for name, tensor in net.named_parameters():
            if "conv" not in name and "position" not in name:
                tensor.data.add_(torch.randn_like(tensor) * (0.15 if tensor.dim() > 1 else 0.05))
            elif family == "whisper" and "conv" in name:  # drawn so small that positions would drown the sound
                tensor.data.mul_(15)
    net.eval().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(_processor(family, norm)))
    return folder


MARKS = ("<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|zh|>", "<|translate|>", "<|transcribe|>",
         "<|startofprev|>", "<|notimestamps|>")  # fmt: skip


def dictating(folder: Path, seed: int = 0, *, marks: bool = True) -> Path:
    """A complete Whisper that writes, with the bytes for a vocabulary; `marks`: it marks languages."""
    named = [m for m in MARKS if marks or m not in MARKS[2:6]]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = WhisperTokenizer(vocab={c: i for i, c in enumerate([*letters, named[0]])}, merges=[])
    words.add_special_tokens({"additional_special_tokens": named[1:]})
    words.set_prefix_tokens()
    end, start = (words.convert_tokens_to_ids(m) for m in MARKS[:2])
    ids = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end, "decoder_start_token_id": start}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = AutoModelForSpeechSeq2Seq.from_config(
            AutoConfig.for_model("whisper", **(_SHAPES["whisper"] | ids | {"vocab_size": len(words)}))
        )
        for name, tensor in net.named_parameters():
            if "conv" in name:
                tensor.data.mul_(15)
            elif "position" not in name:
                tensor.data.add_(torch.randn_like(tensor) * (0.15 if tensor.dim() > 1 else 0.05))
    net.eval().save_pretrained(folder)
    words.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(_processor("whisper", "")))
    return folder


def _processor(family: str, norm: str) -> dict[str, Any]:
    if family == "whisper":
        return {"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 16, "chunk_length": 1}
    if family == "audio-spectrogram-transformer":
        return {"feature_extractor_type": "ASTFeatureExtractor", "max_length": 48, "num_mel_bins": 32}
    return {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": RATE, "do_normalize": True,
        "return_attention_mask": norm == "layer", "feature_size": 1, "padding_value": 0.0,
    }  # fmt: skip


def tone(pitch: float, seconds: float, rng: np.random.Generator, rate: int = RATE) -> np.ndarray:
    """A note with a little noise, (S,) in [-1, 1]."""
    time = np.arange(int(seconds * rate)) / rate
    loud = rng.uniform(0.2, 0.6)
    return loud * np.sin(2 * np.pi * pitch * time + rng.uniform(0, 6)) + rng.normal(0, 0.02, len(time))


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    """A WAV file of 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, (np.clip(samples, -1, 1) * 32767).astype(np.int16))
    return path


def tones(folder: Path, each: int = 8, seed: int = 0, lengths: Sequence[float] = (0.2, 0.25, 0.3)) -> Path:
    """`each` notes of every class in a folder of its own."""
    rng = np.random.default_rng(seed)
    for kind in CLASSES:
        for number in range(each):
            pitch = PITCH[kind] * rng.uniform(0.9, 1.1)
            write(folder / kind / f"{number:03}.wav", tone(pitch, float(rng.choice(lengths)), rng))
    return folder


DIGITS = {"a": 110.0, "b": 250.0, "c": 600.0}


def spoken(folder: Path, count: int = 60, seed: int = 0) -> Path:
    """A table of clips in which each letter is a note, with silence between letters: "ab ca" has a longer one."""
    rng = np.random.default_rng(seed)
    lines = ["path,text"]
    for number in range(count):
        said = "".join(rng.choice([*DIGITS], int(rng.integers(1, 4))))
        if len(said) == 3 and number % 2:
            said = f"{said[:2]} {said[2:]}"
        parts = [np.zeros(int(0.04 * RATE))]
        for char in said:
            note = np.zeros(int(0.12 * RATE)) if char == " " else tone(DIGITS[char], 0.12, rng)
            parts += [note, np.zeros(int(0.04 * RATE))]
        write(folder / f"{number:03}.wav", np.concatenate(parts) + rng.normal(0, 0.01, sum(map(len, parts))))
        lines.append(f"{number:03}.wav,{said}")
    (folder / "spoken.csv").write_text("\n".join(lines) + "\n")
    return folder / "spoken.csv"

"""A base's feature extractor in the tokenizer's place: how a sound becomes the numbers that the base reads.

    samples at the base's rate -> library -> waveform (T,), or spectrogram of one size

It is the library's own, given one clip at a time, so that what a clip becomes depends on no other.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.bases.find import Found
from tunesmith.errors import TunesmithError

NAME = "preprocessor_config.json"
_AST_WINDOW, _AST_HOP = 400, 160
"""Samples; fixed in the library's code."""


class SoundProcessor:
    """transformers' feature extractor, and what the base's configuration says of time."""

    pad_token_id = None

    def __init__(self, library: Any, config: Mapping[str, Any]) -> None:
        self.library, self.config = library, config
        self.rate = int(library.sampling_rate)
        """Samples a second, in Hz."""
        self.name = str(library.model_input_names[0])
        """What the network calls its input."""
        self.masked = config.get("feat_extract_norm") == "layer" and bool(getattr(library, "return_attention_mask", 0))
        """Whether the base was pretrained to be told what is padding."""
        self.longest = self._longest()
        """Samples that a spectrogram of one size holds; None: any number."""
        self.shape = () if self.longest is None else self(np.zeros(self.longest, np.float32)).shape

    def __call__(self, samples_S: NDArray[np.float32]) -> NDArray[np.float32]:
        """(T,) or (mel bands and time, in the base's order)."""
        made = self.library(samples_S, sampling_rate=self.rate, return_tensors="np")
        return np.asarray(made[self.name][0], dtype=np.float32)

    def steps(self, samples: int) -> int:
        """Steps in time that the network makes of so many samples; below 1 where they are too few to be heard."""
        config = self.config
        if "conv_kernel" in config:
            for kernel, stride in zip(config["conv_kernel"], config["conv_stride"], strict=True):
                samples = (samples - int(kernel)) // int(stride) + 1
            return samples
        if "max_source_positions" in config:
            return int(config["max_source_positions"]) if samples else 0
        if samples < _AST_WINDOW:
            return 0
        side = int(config.get("patch_size", 16))
        across, along = int(config.get("frequency_stride", 10)), int(config.get("time_stride", 10))
        bands, frames = int(config.get("num_mel_bins", 128)), int(config.get("max_length", 1024))
        return ((bands - side) // across + 1) * ((frames - side) // along + 1)

    def _longest(self) -> int | None:
        if "conv_kernel" in self.config:
            return None
        if hasattr(self.library, "n_samples"):
            return int(self.library.n_samples)
        return _AST_WINDOW + (int(self.library.max_length) - 1) * _AST_HOP

    def save_pretrained(self, folder: Path) -> None:
        """preprocessor_config.json, which transformers reads alone."""
        self.library.save_pretrained(folder)


def load_hearing(found: Found, saved: Path | None = None) -> SoundProcessor:
    """The base's feature extractor, or the one that was `saved` with a model; local files only."""
    from transformers import AutoConfig, AutoFeatureExtractor

    from tunesmith.bases.load import quiet

    folder = saved or found.folder
    if not (folder / NAME).is_file():
        raise TunesmithError(f"base: {found.name} has no {NAME}, which says how sounds are to be read")
    with quiet():
        try:
            library = AutoFeatureExtractor.from_pretrained(  # type: ignore[no-untyped-call]
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, TypeError, ImportError) as error:
            raise TunesmithError(f"base: the feature extractor of {found.name} does not load: {error}") from error
        config = AutoConfig.from_pretrained(found.folder, local_files_only=True, trust_remote_code=False)
    return SoundProcessor(library, config.to_dict())

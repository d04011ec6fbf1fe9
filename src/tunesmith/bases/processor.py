"""A base's image processor in the tokenizer's place: how a picture becomes the numbers that the base reads.

Resizing and cropping are the library's own (with pillow; torchvision is never needed). What it does afterwards, scaling
and normalising, must be one line a channel, `values = scale * byte + shift`: it is measured on a black and a white
picture and tried on a ramp, so that eight-bit pixels can be kept and normalised when a batch is made.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.bases.find import Found
from tunesmith.errors import TunesmithError
from tunesmith.machine import require_pillow

if TYPE_CHECKING:
    from PIL.Image import Image

NAME = "preprocessor_config.json"
TOLERANCE = 1e-5


class ImageProcessor:
    """transformers' image processor, measured."""

    pad_token_id = None
    """Images of one size need no padding."""

    def __init__(self, library: Any, name: str) -> None:
        self.library, self.name = library, name
        self.scale_C, self.shift_C = self._line()
        self.shape = tuple(int(n) for n in self(_ramp(300, 200)).shape)
        """(C, H, W)."""
        if self(_ramp(90, 400)).shape != self.shape:
            raise TunesmithError(
                f"base: the image processor of {name} leaves images of different shapes different. Set task.resolution"
            )
        self._prove()

    def __call__(self, image: "Image") -> NDArray[np.uint8]:
        """An RGB image, resized and cropped, (C, H, W)."""
        off = {"do_normalize": False, "do_rescale": False}
        if hasattr(self.library, "include_top"):  # EfficientNet's second normalisation
            off["include_top"] = False
        made = self.library(images=[image], return_tensors="np", **off)
        return np.asarray(made["pixel_values"][0]).round().clip(0, 255).astype(np.uint8)

    def _prove(self) -> None:
        """Our two steps must give what the library gives in one."""
        picture = _ramp(300, 200)
        whole = np.asarray(self.library(images=[picture], return_tensors="np")["pixel_values"][0])
        ours = self(picture) * self.scale_C[:, None, None] + self.shift_C[:, None, None]
        if np.abs(ours - whole).max() > TOLERANCE * max(1.0, float(np.abs(whole).max())):
            raise TunesmithError(
                f"base: the image processor of {self.name} cannot be run in two steps, sizes and values: refused"
            )

    def save_pretrained(self, folder: Path) -> None:
        """preprocessor_config.json, which transformers reads alone."""
        self.library.save_pretrained(folder)

    def _line(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        ramp = np.broadcast_to(np.arange(256, dtype=np.uint8), (3, 4, 256))
        as_is = {"do_resize": False, "do_center_crop": False, "return_tensors": "np"}
        values = np.asarray(self.library(images=[ramp], input_data_format="channels_first", **as_is)["pixel_values"][0])
        shift_C = values[:, 0, 0].astype(np.float64)
        scale_C = (values[:, 0, 255] - shift_C) / 255
        line = scale_C[:, None] * np.arange(256) + shift_C[:, None]
        if np.abs(values[:, 0] - line).max() > TOLERANCE:
            raise TunesmithError(f"base: the image processor of {self.name} does more than scale and shift channels")
        return scale_C.astype(np.float32), shift_C.astype(np.float32)


def _ramp(width: int, height: int) -> "Image":
    from PIL import Image

    made = np.zeros((height, width, 3), np.uint8)
    made[..., 0], made[..., 1] = np.linspace(0, 255, width)[None], np.linspace(0, 255, height)[:, None]
    return Image.fromarray(made)


class PairProcessor:
    """An image processor and a tokenizer, for a base that takes both."""

    def __init__(self, images: ImageProcessor, tokenizer: Any, *, whole_text: bool, longest: int) -> None:
        self.images, self.tokenizer, self.whole_text = images, tokenizer, whole_text
        self.longest = longest
        """Tokens of the longest text that the base reads."""
        self.pad_token_id = int(tokenizer.pad_token_id)

    def save_pretrained(self, folder: Path) -> None:
        """Files that transformers' own processor of the base reads."""
        self.images.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def load_processor(found: Found, resolution: int | None = None) -> ImageProcessor:
    """The base's processor, local files only; with `resolution` its images are so many pixels a side."""
    require_pillow()
    from transformers import AutoImageProcessor

    from tunesmith.bases.load import quiet

    if not (found.folder / NAME).is_file():
        raise TunesmithError(f"base: {found.name} has no {NAME}, which says how images are to be read")
    with quiet():
        try:
            library = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
                found.folder, local_files_only=True, trust_remote_code=False, backend="pil"
            )
        except (OSError, ValueError, TypeError) as error:
            raise TunesmithError(f"base: the image processor of {found.name} does not load: {error}") from error
    if resolution is not None:
        _resize(library, resolution)
    return ImageProcessor(library, found.name)


def _resize(library: Any, side: int) -> None:
    """Ask for another resolution; a margin that is cropped off keeps its share."""
    size, crop = dict(library.size or {}), dict(getattr(library, "crop_size", None) or {})
    cropped = bool(getattr(library, "do_center_crop", False)) and bool(crop)
    share = size["shortest_edge"] / min(crop["height"], crop["width"]) if cropped and size.get("shortest_edge") else 1
    if size.get("shortest_edge"):
        library.size = {"shortest_edge": round(side * share)}
    else:
        library.size = {"height": side, "width": side}
    if cropped:
        library.crop_size = {"height": side, "width": side}

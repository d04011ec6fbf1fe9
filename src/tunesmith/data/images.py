"""Open an image file as a person would see it: upright, in colour, eight bits; or say why not.

What is refused: no file, no image, a format that is no picture of its own (EPS, PDF run programs), one that breaks off,
several pictures in one, more pixels than are allowed (known from the header, before anything is unpacked). What is
changed is told: a turned photo is turned upright (EXIF), transparency is laid on white, CMYK and grey become RGB, 16
bits become 8.
"""

import hashlib
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tunesmith.data.overlap import rows_shown
from tunesmith.data.record import Record
from tunesmith.errors import TunesmithError
from tunesmith.machine import require_pillow

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm")
MAX_PIXELS = 50_000_000
"""A photo of 50 megapixels unpacks to 150 MB."""


class Unreadable(Exception):
    """Why a file cannot be taken; the caller knows the row."""


class Seen(NamedTuple):
    """An image, RGB, and what was done to make it so."""

    image: "Image"
    changes: tuple[str, ...]

    @property
    def digest(self) -> str:
        """What makes two files one picture: its size and its pixels, 32 hex digits."""
        whole = hashlib.blake2b(struct.pack("<2q", *self.image.size), digest_size=16)
        whole.update(self.image.tobytes())
        return whole.hexdigest()


def look(path: Path, max_pixels: int = MAX_PIXELS) -> Seen:
    """The image in a file. Raises Unreadable with the reason."""
    require_pillow()
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise Unreadable("there is no such file" if not path.exists() else "this is no regular file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is ours to judge, and odd metadata says nothing of the pixels
            with Image.open(path, formats=FORMATS) as opened:
                _refuse(opened, max_pixels)
                opened.load()
                return _upright(opened)
    except UnidentifiedImageError:
        raise Unreadable(f"no image that can be read ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise Unreadable(f"more than {max_pixels} pixels: a decompression bomb?") from None
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, OverflowError, MemoryError) as error:
        raise Unreadable(f"the image is damaged or cut off ({error})") from None


def _refuse(opened: "Image", max_pixels: int) -> None:
    width, height = opened.size
    if width * height > max_pixels:
        raise Unreadable(f"{width} x {height} pixels are more than {max_pixels}: make it smaller, or raise max_pixels")
    if (frames := getattr(opened, "n_frames", 1)) > 1:
        raise Unreadable(f"{frames} pictures in one file: which one is meant? Save one of them")
    if opened.mode == "F":
        raise Unreadable("pixels are floating-point numbers without a known range. Save it with 8 or 16 bits")


def _upright(opened: "Image") -> Seen:
    """RGB, and what was done for it, in the order in which it was done."""
    from PIL import Image, ImageOps

    changes = []
    image: Image.Image = ImageOps.exif_transpose(opened)
    if opened.getexif().get(0x0112, 1) != 1:
        changes.append("turned upright (EXIF)")
    if image.mode.startswith("I"):
        import numpy as np

        changes.append("16 bits made 8")
        image = Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) // 257).astype(np.uint8))
    if image.has_transparency_data:
        changes.append("transparency laid on white")
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    elif image.mode not in ("RGB", "P"):
        changes.append("grey made RGB" if image.mode in ("L", "1") else f"{image.mode} made RGB")
    return Seen(image.convert("RGB"), tuple(changes))


def path_of(record: Record, column: str) -> Path:
    """Where the image of a row lies: a relative path counts from the folder of the file (or the folder) it stands in.
    Addresses are not followed."""
    cell = record.cells.get(column)
    if not isinstance(cell, str) or not cell.strip():
        raise TunesmithError(f"{rows_shown([record])}: column '{column}': no path of an image: '{cell}'. Write one")
    if "://" in cell:
        raise TunesmithError(f"{rows_shown([record])}: '{cell[:80]}' is an address; images are read from files alone")
    source = Path(record.source).expanduser()
    return ((source if source.is_dir() else source.parent) / Path(cell).expanduser()).absolute()

"""Images as files: what is refused and why, what is changed and told, and folders of them as tables."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pictures
from tunesmith.data.format import Format
from tunesmith.data.images import Unreadable, look
from tunesmith.data.pixels import Pixels
from tunesmith.data.table import read
from tunesmith.errors import TunesmithError

RNG = np.random.default_rng(0)
COLOURED = Image.fromarray(RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8))


def saved(image: Image.Image, path: Path, **how: object) -> Path:
    image.save(path, **how)  # type: ignore[arg-type]
    return path


def test_what_is_plain_stays_as_it_is(tmp_path: Path) -> None:
    seen = look(saved(COLOURED, tmp_path / "a.png"))
    assert seen.changes == () and np.array_equal(np.asarray(seen.image), np.asarray(COLOURED))


def test_a_turned_photo_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    seen = look(saved(COLOURED, tmp_path / "a.png", exif=exif))
    assert seen.changes == ("turned upright (EXIF)",) and seen.image.size == (20, 30)
    assert np.array_equal(np.asarray(seen.image), np.rot90(np.asarray(COLOURED), -1))


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    alpha = COLOURED.convert("RGBA")
    alpha.putalpha(0)
    seen = look(saved(alpha, tmp_path / "a.png"))
    assert seen.changes == ("transparency laid on white",) and np.asarray(seen.image).min() == 255


def test_sixteen_bits_become_eight_over_the_whole_range(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    seen = look(saved(Image.fromarray(deep), tmp_path / "a.png"))
    assert seen.changes[0] == "16 bits made 8"
    assert np.array_equal(np.asarray(seen.image)[..., 1], (deep // 257).astype(np.uint8))


@pytest.mark.parametrize(("mode", "suffix"), [("CMYK", "tif"), ("L", "png"), ("1", "png")])
def test_other_colours_become_rgb_and_it_is_told(mode: str, suffix: str, tmp_path: Path) -> None:
    seen = look(saved(COLOURED.convert(mode), tmp_path / f"a.{suffix}"))
    assert seen.image.mode == "RGB" and seen.changes[0].endswith("made RGB")
    assert np.array_equal(np.asarray(seen.image), np.asarray(COLOURED.convert(mode).convert("RGB")))


def _bomb(path: Path) -> Path:
    """A PNG of 100,000 x 100,000 pixels by its header."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)))
    return path


def _cut(path: Path) -> Path:
    saved(COLOURED.resize((300, 300)), path)
    path.write_bytes(path.read_bytes()[:2000])
    return path


def _animated(path: Path) -> Path:
    COLOURED.save(path, save_all=True, append_images=[COLOURED.rotate(90)])
    return path


@pytest.mark.parametrize(
    ("make", "name", "why"),
    [
        (lambda p: p, "a.png", "no such file"),
        (lambda p: p.mkdir() or p, "a.png", "no regular file"),
        (lambda p: p.write_text("hello") and p, "a.png", "no image that can be read"),
        (lambda p: p.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n") and p, "a.eps", "no image"),
        (lambda p: saved(Image.new("F", (3, 3)), p), "a.tif", "floating-point"),
        (_cut, "a.png", "damaged or cut off"), (_bomb, "a.png", "pixels"), (_animated, "a.gif", "2 pictures in one"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_why(make: object, name: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=why):
        look(make(tmp_path / name))  # type: ignore[operator]


def test_two_files_of_one_picture_have_one_digest(tmp_path: Path) -> None:
    png, bmp = (look(saved(COLOURED, tmp_path / f"a.{s}")).digest for s in ("png", "bmp"))
    other = look(saved(COLOURED.rotate(180), tmp_path / "b.png")).digest
    assert png == bmp != other


def test_a_folder_is_a_table_of_classes(tmp_path: Path) -> None:
    table = read(pictures.shapes(tmp_path / "data", each=2))
    assert table.columns == ("image", "label") and len(table.rows) == 6
    assert table.rows[0][1] == {"image": "cross/000.png", "label": "cross"}
    (tmp_path / "data" / "cross" / "000.png").write_bytes((tmp_path / "data" / "disc" / "000.png").read_bytes())
    assert read(tmp_path / "data").sha256 != table.sha256


def test_what_is_no_picture_in_a_folder_is_told_or_stops(tmp_path: Path) -> None:
    folder = pictures.shapes(tmp_path / "data", each=2)
    (folder / "disc" / "notes.txt").write_text("x")
    saved(COLOURED, folder / "stray.png")
    with pytest.raises(TunesmithError, match="disc/notes.txt"):
        read(folder)
    table = read(folder, Format(on_bad="drop"))
    assert len(table.rows) == 6 and {b.excerpt for b in table.bad} == {"disc/notes.txt", "stray.png"}


def test_a_folder_without_pictures_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nx,y\n")
    with pytest.raises(TunesmithError, match="this is a folder, and no picture or sound lies in it"):
        read(tmp_path)


def test_pixels_are_normalised_when_they_are_asked_for() -> None:
    raw = RNG.integers(0, 256, (4, 3, 5, 6), dtype=np.uint8)
    scale, shift = np.array([0.1, 0.2, 0.3], np.float32), np.array([-1, 0, 1], np.float32)
    pixels = Pixels(raw, scale, shift)
    wanted = raw[[2, 0]] * scale[:, None, None] + shift[:, None, None]
    assert np.allclose(pixels.values([2, 0]).numpy(), wanted, atol=1e-5)
    assert np.allclose(pixels.normal(pixels.raw([2, 0])).numpy(), wanted, atol=1e-4)
    assert pixels.places == 1 and pixels.pick([1]).digest != pixels.digest

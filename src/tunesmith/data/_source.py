"""The bytes of a data file: regular files only, gz unpacked within bounds, changes while reading noticed."""

import os
import stat
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from tunesmith.errors import TunesmithError
from tunesmith.files import digest_bytes, digest_file

MAX_BYTES = 4 << 30
"""Largest content that is read into memory, unpacked."""
BOMB_BYTES, BOMB_RATIO = 64 << 20, 200
"""A packed file is refused when it unpacks to more than both: text seldom packs better than 1:30."""
_PIECE = 1 << 22
_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a pipe",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
    stat.S_ISSOCK: "a socket",
}


@dataclass(frozen=True)
class Source:
    """The content of a file (unpacked) and the digest of its bytes as they lie on disk."""

    name: str
    suffix: str
    content: bytes = field(repr=False)
    sha256: str
    notes: tuple[str, ...]
    signature: tuple[int, ...]


def load(path: str | Path) -> Source:
    """Read a whole regular file; anything else is refused at once, before a byte is read."""
    name, place = str(path), Path(path)
    try:
        raw, signature = _read(place, name)
    except OSError as error:
        raise TunesmithError(
            f"{name}: cannot be read: {error.strerror or error}. Check the path and its rights"
        ) from error
    except ValueError as error:  # a NUL in a path
        raise TunesmithError(f"{name!r}: not a path: {error}") from error
    digest, suffix = digest_bytes(raw), place.suffix.lower()
    if not raw.startswith(b"\x1f\x8b"):
        return Source(name, suffix, raw, digest, (), signature)
    suffix = Path(place.stem).suffix.lower() if suffix in {".gz", ".gzip"} else suffix
    content = _gunzip(raw, name)
    if content.startswith(b"\x1f\x8b"):
        raise TunesmithError(f"{name}: gz inside gz. Unpack it once")
    return Source(name, suffix, content, digest, (f"gz, {len(raw)} bytes unpacked to {len(content)}",), signature)


def _read(path: Path, name: str) -> tuple[bytes, tuple[int, ...]]:
    info = path.stat()
    _refuse_kind(info.st_mode, name)
    # O_NONBLOCK: should the name have become a pipe since, opening it must not hang
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as stream:
        info = os.fstat(handle)
        _refuse_kind(info.st_mode, name)
        if info.st_size > MAX_BYTES:
            raise TunesmithError(
                f"{name}: {info.st_size} bytes are more than the {MAX_BYTES} that are read at once. Split the file"
            )
        raw = stream.read(MAX_BYTES + 1)
        if len(raw) != info.st_size or _signature(os.fstat(handle)) != _signature(info):
            raise TunesmithError(f"{name}: the file changed while it was read. Run again when nothing writes to it")
    return raw, _signature(info)


def unchanged(source: Source) -> None:
    """Refuse a file that is not any more what was read (called when parsing is done)."""
    try:
        if _signature(Path(source.name).stat()) == source.signature or digest_file(Path(source.name)) == source.sha256:
            return
    except OSError:
        pass
    raise TunesmithError(f"{source.name}: the file changed while it was read. Run again when nothing writes to it")


def _signature(info: os.stat_result) -> tuple[int, ...]:
    return info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def _refuse_kind(mode: int, name: str) -> None:
    for is_kind, kind in _KINDS.items():
        if is_kind(mode):
            raise TunesmithError(f"{name}: this is {kind}, not a data file. Name a regular file")


def check_ratio(packed: int, unpacked: int, name: str) -> None:
    """Refuse what unpacks beyond bounds."""
    if unpacked > MAX_BYTES or (unpacked > BOMB_BYTES and unpacked > BOMB_RATIO * packed):
        raise TunesmithError(
            f"{name}: unpacks to more than {unpacked} bytes from {packed}, which looks like a decompression bomb. "
            f"Unpack it yourself if you trust it (limits: ratio {BOMB_RATIO}, {MAX_BYTES} bytes)"
        )


def _gunzip(raw: bytes, name: str) -> bytes:
    """Unpack all members of a gz file, piece by piece, so that a bomb is met before it fills the memory."""
    pieces, total, rest = [], 0, raw
    while rest.strip(b"\0"):
        member = zlib.decompressobj(wbits=31)
        try:
            while not member.eof:
                piece = member.decompress(rest, _PIECE)
                if not piece and not member.unconsumed_tail and not member.eof:
                    raise TunesmithError(f"{name}: the gz file is cut off after {len(raw)} bytes. Fetch it again")
                pieces.append(piece)
                total += len(piece)
                check_ratio(len(raw), total, name)
                rest = member.unused_data if member.eof else member.unconsumed_tail
        except zlib.error as error:
            raise TunesmithError(f"{name}: the gz file is damaged ({error}). Fetch it again") from error
    return b"".join(pieces)

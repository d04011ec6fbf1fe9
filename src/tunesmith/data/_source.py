"""The bytes of a data file: regular files only, gz unpacked within bounds, changes while reading noticed."""

import hashlib
import math
import os
import stat
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tunesmith import scratch
from tunesmith.errors import TunesmithError
from tunesmith.files import digest_file

MAX_BYTES = 4 << 30
"""Largest content, unpacked, of a format that cannot be read in pieces (a JSON document, a workbook)."""
BOMB_BYTES, BOMB_RATIO = 64 << 20, 200
"""A packed file is refused when it unpacks to more than both: text seldom packs better than 1:30."""
_PIECE = 1 << 22
_GZ = b"\x1f\x8b"
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
    content: memoryview = field(repr=False)
    """A copy of our own, in memory or in a nameless file: what was digested is what is parsed, whoever writes."""
    sha256: str
    notes: tuple[str, ...]
    signature: tuple[int, ...]


def load(path: str | Path) -> Source:
    """Read a whole regular file; anything else is refused at once, before a byte is read."""
    name, place = str(path), Path(path)
    try:
        raw, digest, signature = _read(place, name)
    except OSError as error:
        raise TunesmithError(
            f"{name}: cannot be read: {error.strerror or error}. Check the path and its rights"
        ) from error
    except ValueError as error:  # a NUL in a path
        raise TunesmithError(f"{name!r}: not a path: {error}") from error
    suffix = place.suffix.lower()
    if bytes(raw[:2]) != _GZ:
        return Source(name, suffix, raw, digest, (), signature)
    suffix = Path(place.stem).suffix.lower() if suffix in {".gz", ".gzip"} else suffix
    content = _gunzip(raw, name)
    if bytes(content[:2]) == _GZ:
        raise TunesmithError(f"{name}: gz inside gz. Unpack it once")
    return Source(name, suffix, content, digest, (f"gz, {len(raw)} bytes unpacked to {len(content)}",), signature)


def _read(path: Path, name: str) -> tuple[memoryview, str, tuple[int, ...]]:
    info = path.stat()
    _refuse_kind(info.st_mode, name)
    # O_NONBLOCK: should the name have become a pipe since, opening it must not hang
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as stream:
        info = os.fstat(handle)
        _refuse_kind(info.st_mode, name)
        content, digest = scratch.Column(np.uint8), hashlib.sha256()
        while len(content) <= info.st_size and (piece := stream.read(_PIECE)):
            digest.update(piece)
            content.extend(np.frombuffer(piece, np.uint8))
        if len(content) != info.st_size or _signature(os.fstat(handle)) != _signature(info):
            raise TunesmithError(f"{name}: the file changed while it was read. Run again when nothing writes to it")
    return content.array().data, digest.hexdigest(), _signature(info)


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


def check_ratio(packed: int, unpacked: int, name: str, most: float = MAX_BYTES) -> None:
    """Refuse what unpacks beyond bounds."""
    if unpacked > most or (unpacked > BOMB_BYTES and unpacked > BOMB_RATIO * packed):
        raise TunesmithError(
            f"{name}: unpacks to more than {unpacked} bytes from {packed}, which looks like a decompression bomb. "
            f"Unpack it yourself if you trust it (limits: ratio {BOMB_RATIO}, {MAX_BYTES} bytes)"
        )


def _gunzip(raw: memoryview, name: str) -> memoryview:
    """Unpack all members of a gz file, piece by piece, so that a bomb is met before it fills the disk."""
    content, at = scratch.Column(np.uint8), 0
    while _goes_on(raw, at):
        member = zlib.decompressobj(wbits=31)
        try:
            while not member.eof:
                packed = member.unconsumed_tail or bytes(raw[at : at + _PIECE])
                at += 0 if member.unconsumed_tail else len(packed)
                piece = member.decompress(packed, _PIECE)
                if not piece and not packed and not member.eof:
                    raise TunesmithError(f"{name}: the gz file is cut off after {len(raw)} bytes. Fetch it again")
                content.extend(np.frombuffer(piece, np.uint8))
                check_ratio(len(raw), len(content), name, math.inf)
        except zlib.error as error:
            raise TunesmithError(f"{name}: the gz file is damaged ({error}). Fetch it again") from error
        at -= len(member.unused_data)
    return content.array().data


def _goes_on(raw: memoryview, at: int) -> bool:
    """Whether more than padding with zeros follows."""
    return any(bytes(raw[i : i + 64]).strip(b"\0") for i in range(at, len(raw), 64))

"""The text of a file, decoded anew each time it is walked over: a file larger than memory is never a string."""

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass, field

from tunesmith.data._source import MAX_BYTES
from tunesmith.errors import TunesmithError

HEAD = (1 << 18) + 1
"""Characters at the beginning that are looked at to tell what a file is."""
_PIECE = 1 << 20


@dataclass(frozen=True)
class Text:
    """A text file whose every byte has been decoded once, and what was seen on the way."""

    raw: memoryview = field(repr=False)
    """The bytes, without a byte order mark."""
    encoding: str
    head: str = field(repr=False)
    """The first characters, at least HEAD of them if there are so many."""
    blank: bool
    """Whether there is nothing but white space."""
    quoted: bool
    """Whether a double quote occurs."""
    ends: dict[str, int]
    """How often lines end with LF, CRLF and CR."""

    def lines(self, end: str = "") -> Iterator[str]:
        r"""Lines with their ends: \n, \r\n and \r end a line, or `end` alone (not U+2028, which occurs in texts)."""
        return iter(io.TextIOWrapper(io.BufferedReader(_Bytes(self.raw), _PIECE), self.encoding, newline=end))

    def whole(self, source: str) -> str:
        """All of it as a string, for formats that cannot be read in pieces."""
        if len(self.raw) > MAX_BYTES:
            raise TunesmithError(
                f"{source}: {len(self.raw)} bytes are more than the {MAX_BYTES} that are read at once. "
                "Write it as JSON Lines, which is read in pieces, or split the file"
            )
        return str(self.raw, self.encoding)


class _Bytes(io.RawIOBase):
    """Bytes in memory or in a mapped file, as a stream."""

    def __init__(self, raw: memoryview) -> None:
        self._raw, self._at = raw, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        size = min(len(buffer), len(self._raw) - self._at)
        buffer[:size] = self._raw[self._at : self._at + size]
        self._at += size
        return size


def decoded(raw: memoryview, encoding: str) -> Iterator[str]:
    """The text in pieces. Raises Undecodable."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    for start in range(0, max(1, len(raw)), _PIECE):
        piece = bytes(raw[start : start + _PIECE])
        end = start + len(piece)
        try:
            yield decoder.decode(piece, end == len(raw))
        except UnicodeDecodeError as error:
            before = end - len(error.object)  # the decoder had kept the beginning of a character
            raise Undecodable(error, before) from error


class Undecodable(ValueError):
    """A byte that does not decode, and its place in the file."""

    def __init__(self, error: UnicodeDecodeError, before: int) -> None:
        super().__init__(str(error))
        self.at, self.encoding, self.reason = error.start + before, error.encoding, error.reason


def survey(raw: memoryview, encoding: str) -> Text:
    """Decode everything once and note what the readers want to know of the whole. Raises Undecodable."""
    head, blank, quoted, last = "", True, False, ""
    windows = feeds = returns = 0
    for piece in decoded(raw, encoding):
        if len(head) < HEAD:
            head += piece
        blank = blank and (not piece or piece.isspace())
        quoted = quoted or '"' in piece
        windows += piece.count("\r\n") + (last == "\r" and piece.startswith("\n"))
        feeds, returns = feeds + piece.count("\n"), returns + piece.count("\r")
        last = piece[-1:] or last
    ends = {"LF": feeds - windows, "CRLF": windows, "CR": returns - windows}
    return Text(raw, encoding, head, blank, quoted, ends)

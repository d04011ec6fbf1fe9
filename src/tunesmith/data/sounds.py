"""Open a sound file as one channel of numbers in [-1, 1]; or say why not.

WAV (8 to 32 bits, floating point) is read by scipy; FLAC, OGG, MP3 and the rest by `soundfile`, an extra. What is
refused: no file, no sound, one that breaks off, one without a sample, numbers that are none. What is changed is told:
several channels become their mean, and what lies beyond full scale is cut to it.

Shape letters: S samples, K channels.
"""

import hashlib
import struct
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunesmith.data.opening import Unreadable, require_file

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au")
MAX_BYTES = 2**30
"""A gigabyte of WAV at 16,000 Hz and 16 bits lasts nine hours."""
RATES = (1_000, 768_000)
"""Samples a second that a file may have, in Hz."""


class Heard(NamedTuple):
    """A sound, and what was done to make it so."""

    samples_S: NDArray[np.float32]
    rate: int
    """Samples a second, in Hz."""
    changes: tuple[str, ...]

    @property
    def digest(self) -> str:
        """What makes two files one recording: its rate and its samples, 32 hex digits."""
        whole = hashlib.blake2b(struct.pack("<2q", self.rate, len(self.samples_S)), digest_size=16)
        whole.update(np.ascontiguousarray(self.samples_S).data)
        return whole.hexdigest()


def hear(path: Path) -> Heard:
    """The sound in a file. Raises Unreadable with the reason."""
    require_file(path)
    if path.stat().st_size > MAX_BYTES:
        raise Unreadable(f"larger than {MAX_BYTES:,} bytes. Cut it into clips")
    rate, raw = _wav(path) if _is_wav(path) else _other(path)
    if not RATES[0] <= rate <= RATES[1]:
        raise Unreadable(f"{rate} samples a second, where {RATES[0]} to {RATES[1]} make sense")
    if not raw.size:
        raise Unreadable("it holds no samples")
    return _one_channel(rate, raw.reshape(len(raw), -1))


def at_rate(samples_S: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.float32]:
    """The sound with so many samples a second: a polyphase filter without aliasing (`scipy.signal.resample_poly`)."""
    from scipy.signal import resample_poly

    if rate == wanted:
        return samples_S
    shared = int(np.gcd(rate, wanted))
    return np.asarray(resample_poly(samples_S, wanted // shared, rate // shared), dtype=np.float32)


def _is_wav(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(12)
    return start[:4] in (b"RIFF", b"RIFX", b"RF64") and start[8:12] == b"WAVE"


def _wav(path: Path) -> tuple[int, NDArray[np.float32]]:
    """(rate, (S,) or (S, K) in [-1, 1])."""
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # chunks of metadata that are unknown
            warnings.filterwarnings("error", message=".*EOF.*")
            rate, raw = wavfile.read(path)
    except (ValueError, OSError, EOFError, struct.error, MemoryError, wavfile.WavFileWarning, UnboundLocalError) as why:
        raise Unreadable(f"the sound is damaged, cut off, or of a kind that is not read ({why})") from None
    return int(rate), _scaled(np.asarray(raw))


def _scaled(raw: NDArray[Any]) -> NDArray[np.float32]:
    """Whole numbers by what their width can hold; 8 bits are stored without sign."""
    if raw.dtype == np.uint8:
        return (raw.astype(np.float32) - 128) / np.float32(128)
    if raw.dtype.kind == "i":
        return (raw / float(2 ** (8 * raw.dtype.itemsize - 1))).astype(np.float32)
    return raw.astype(np.float32)


def _other(path: Path) -> tuple[int, NDArray[np.float32]]:
    try:
        import soundfile
    except ImportError:
        raise Unreadable(
            "no WAV file. Other formats (FLAC, OGG, MP3) need the extra [audio]. Run: pip install 'tunesmith[audio]'"
        ) from None
    try:
        raw, rate = soundfile.read(path, dtype="float32")
    except (RuntimeError, TypeError, OSError) as error:
        raise Unreadable(f"no sound that can be read ({error})") from None
    return int(rate), np.asarray(raw, dtype=np.float32)


def _one_channel(rate: int, raw_SK: NDArray[np.float32]) -> Heard:
    changes = []
    if not np.isfinite(raw_SK).all():
        raise Unreadable("some of its samples are no numbers")
    if raw_SK.shape[1] > 1:
        changes.append(f"{raw_SK.shape[1]} channels mixed to one")
    samples_S = raw_SK.mean(1, dtype=np.float32)
    if float(np.abs(samples_S).max()) > 1:
        changes.append("samples beyond full scale cut to it")
        samples_S = samples_S.clip(-1, 1)
    return Heard(np.ascontiguousarray(samples_S), rate, tuple(changes))

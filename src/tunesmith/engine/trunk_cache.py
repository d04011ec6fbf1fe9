"""The trunk cache: blocks that never move run once for each row, and their output is kept without padding.

A cache is a folder named by a digest of everything its numbers depend on: the frozen weights, the rows' tokens, the
place of the cut, the number format, the libraries and the processor. It is written beside its final name and renamed
when complete, so that a killed build leaves nothing that could be mistaken for a cache. Frozen means evaluation mode
(see `network.training_mode`), so that what is kept is what every epoch would compute again.

Shape letters: N rows, T tokens of all rows, H width.
"""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch

from tunesmith.bases.family import Family, plain
from tunesmith.errors import TunesmithError
from tunesmith.files import digest_bytes, digest_json, free_bytes, read_json, verify_folder, write_folder, write_json
from tunesmith.machine import processor, versions
from tunesmith.tasks import Encoded

Kept = Literal["fp32", "bf16"]
BUILD_TOKENS = 8192
DAY = 24 * 3600.0
_BYTES = {"fp32": 4, "bf16": 2}


class Lower(Protocol):
    """What runs the blocks below a cut: rows of tokens end to end (`fast`), or images (`skipping`)."""

    @property
    def net(self) -> Any:
        """The network."""

    def by_row(self, cut: int) -> bool:
        """Whether one vector a row is kept, not one a token."""

    def width(self, encoded: Encoded, cut: int) -> int:
        """Numbers in such a vector."""

    def lower(self, encoded: Encoded, rows: Sequence[int], cut: int) -> tuple[list[int], torch.Tensor]:
        """Some rows in the order in which they ran, and their vectors, end to end."""


@dataclass
class Cache:
    """States of rows above the cut: (T, H), or of what is read alone, (N, H) as a rule, where every block is below
    it."""

    rows: Encoded
    """The rows, held: a way finds their cache by their identity, which must not pass to others."""
    cut: int
    pooled: bool
    starts: np.ndarray
    """(N + 1,): where each row begins."""
    states_TH: np.ndarray
    """float32, or int16 holding the bits of bfloat16. In memory, or a read-only map of the file."""
    found: bool = False
    """Whether it was there already, so that nothing had to be computed."""

    def states(self, rows: Sequence[int]) -> torch.Tensor:
        """States of these rows end to end, float32."""
        if self.pooled and self.rows.reads is None:
            raw = self.states_TH[list(rows)]
        else:
            raw = np.concatenate([self.states_TH[self.starts[r] : self.starts[r + 1]] for r in rows])
        return _as_floats(raw)


def _as_floats(raw: np.ndarray) -> torch.Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(raw))
    return tensor.view(torch.bfloat16).float() if tensor.dtype == torch.int16 else tensor


def root() -> Path:
    """The folder of all caches: $TUNESMITH_CACHE, or tunesmith/trunk in the user's cache folder."""
    if own := os.environ.get("TUNESMITH_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tunesmith" / "trunk"


def forecast(encoded: Encoded, width: int, kept: Kept, *, pooled: bool) -> int:
    """Bytes that a cache of these rows will take."""
    kept_rows = int(_starts(encoded, pooled=pooled)[-1])
    return kept_rows * width * _BYTES[kept]


def key(net: Any, family: Family, encoded: Encoded, cut: int, kept: Kept, *, mean: bool) -> str:
    """Digest of everything the numbers depend on."""
    depth = len(family.block_list(net))
    base: Any = plain(net)
    config = {k: v for k, v in base.config.to_dict().items() if k not in _ABOUT_THE_HEAD}
    return digest_json(
        {
            "format": 1, "cut": cut, "pooled": cut == depth, "kept": kept, "family": family.name,
            "weights": _digest_weights(net, family, cut), "config": {k: repr(v) for k, v in sorted(config.items())},
            "mean": mean, "tokens": _digest_tokens(encoded), "processor": processor(),
            "versions": {k: v for k, v in versions().items() if k in ("torch", "transformers")},
        }
    )  # fmt: skip


_ABOUT_THE_HEAD = (
    "id2label", "label2id", "num_labels", "problem_type", "_name_or_path", "architectures", "tunesmith_base",
    "classifier_dropout", "transformers_version", "finetuning_task",
)  # fmt: skip


def _digest_weights(net: Any, family: Family, cut: int) -> str:
    """Of all that runs below the cut: embeddings, blocks, and the final norm where it is below, too."""
    base: Any = plain(net)
    blocks = family.block_list(net)
    modules = [base.get_submodule(path) for path in family.embeddings] + blocks[:cut]
    trunk = base.get_submodule(family.trunk)
    if cut == len(blocks) and family.sense != "text":  # last convolutions, norms and pooling, too
        modules = [trunk]
    elif cut == len(blocks):  # what `Layout.finish` adds, however it is called; a pooler above it is a head
        modules += [module for module in trunk.children() if type(module).__name__.endswith("Norm")]
    parts = []
    for place, module in enumerate(modules):
        for name, tensor in module.state_dict().items():
            raw = tensor.detach().cpu().contiguous().view(torch.uint8).numpy() if tensor.ndim else tensor.cpu().numpy()
            parts.append(f"{place}.{name}:{tensor.dtype}:{digest_bytes(raw.tobytes())}")
    return digest_bytes("\n".join(parts).encode())


def _digest_tokens(encoded: Encoded) -> str:
    stores = [s for s in (encoded.ids, encoded.types) if s is not None]
    arrays = [np.ascontiguousarray(a) for s in stores for a in (s.flat, s.offsets)]
    if (given := encoded.pixels or encoded.waves) is not None:
        return given.digest
    if encoded.slots is not None:
        arrays.append(encoded.slots.places(np.arange(len(encoded))))
    if encoded.reads is not None:
        arrays += [encoded.reads.flat, encoded.reads.offsets]
    return digest_json([digest_bytes(a.data) for a in arrays])


def build(
    lower: Lower, encoded: Encoded, cut: int, kept: Kept, *, folder: Path | None, tick: Callable[[int], None]
) -> Cache:
    """The cache of these rows: read from `folder` where it is there and whole, else computed, and written there.

    `folder` None keeps it in memory. `tick` is told how many rows are done after each piece.
    """
    pooled = lower.by_row(cut)
    starts = _starts(encoded, pooled=pooled)
    if folder is not None and _whole(folder):
        os.utime(folder / "about.json")  # the least recently used goes first when room is needed
        return Cache(encoded, cut, pooled, starts, _mapped(folder), found=True)
    width = lower.width(encoded, cut)
    shape, dtype = (int(starts[-1]), width), np.float32 if kept == "fp32" else np.int16
    if folder is None:
        states_TH = np.empty(shape, dtype=dtype)
        _fill(lower, encoded, cut, starts, states_TH, tick)
        return Cache(encoded, cut, pooled, starts, states_TH)

    def write(temporary: Path) -> None:
        file = temporary / "states.bin"
        _take_room(file, shape[0] * shape[1] * np.dtype(dtype).itemsize)
        states_TH = np.memmap(file, dtype=dtype, mode="r+", shape=shape)
        _fill(lower, encoded, cut, starts, states_TH, tick)
        states_TH.flush()
        write_json(temporary / "about.json", {"shape": shape, "dtype": np.dtype(dtype).name, "cut": cut})

    write_folder(folder, write)
    return Cache(encoded, cut, pooled, starts, _mapped(folder))


def _take_room(file: Path, num_bytes: int) -> None:
    """A file of this size that has its room on disk: a map of a sparse one would end the process on a full disk."""
    with file.open("wb") as stream:
        try:
            if num_bytes and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(stream.fileno(), 0, num_bytes)
        except OSError as error:
            raise TunesmithError(
                f"trunk cache: no room for {num_bytes / 1e6:.1f} MB in {root()}: {error.strerror or error}. Free some, "
                "name another folder (TUNESMITH_CACHE), or go without: engine.cache: memory, or off"
            ) from error
        stream.truncate(num_bytes)


def _starts(encoded: Encoded, *, pooled: bool) -> np.ndarray:
    """(N + 1,): where the states of each row begin."""
    if not pooled:
        return np.concatenate([[0], np.cumsum(encoded.lengths)])
    return np.arange(len(encoded) + 1) if encoded.reads is None else encoded.reads.offsets


def _fill(
    lower: Lower, encoded: Encoded, cut: int, starts: np.ndarray, states_TH: np.ndarray, tick: Callable[[int], None]
) -> None:
    """Compute every row once, in evaluation mode, rows of similar length together."""
    lower.net.eval()
    lengths = np.diff(starts)
    with torch.no_grad():
        for rows in _batches(encoded):
            ordered, states = lower.lower(encoded, rows, cut)
            states = states.float().cpu()
            raw = (states if states_TH.dtype == np.float32 else states.bfloat16().view(torch.int16)).numpy()
            place = 0
            for row in ordered:
                length = int(lengths[row])
                states_TH[starts[row] : starts[row] + length] = raw[place : place + length]
                place += length
            tick(len(rows))


def _batches(encoded: Encoded) -> "list[list[int]]":
    out: list[list[int]] = [[]]
    tokens = 0
    lengths = encoded.lengths
    for row in np.argsort(lengths, kind="stable"):
        if out[-1] and tokens + int(lengths[row]) > BUILD_TOKENS:
            out.append([])
            tokens = 0
        out[-1].append(int(row))
        tokens += int(lengths[row])
    return out


def _whole(folder: Path) -> bool:
    return (folder / "about.json").is_file() and not verify_folder(folder)


def _mapped(folder: Path) -> np.ndarray:
    about = read_json(folder / "about.json")
    return np.memmap(folder / "states.bin", dtype=about["dtype"], mode="r", shape=tuple(about["shape"]))


def size(folder: Path) -> int:
    """Bytes of a cache on disk."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def kept_caches() -> list[Path]:
    """Complete caches, least recently used first."""
    if not root().is_dir():
        return []
    found = [f for f in root().iterdir() if (f / "about.json").is_file() and not f.name.startswith(".")]
    return sorted(found, key=lambda f: (f / "about.json").stat().st_mtime)


def make_room(wanted: int, budget: int, spare: Sequence[str]) -> bool:
    """Delete the least recently used caches until `wanted` more bytes fit into the budget and onto the disk.

    `spare` are names of caches in use. Returns whether they fit; deletes nothing where they never could.
    """
    root().mkdir(parents=True, exist_ok=True)
    _sweep()
    sizes = {f: size(f) for f in kept_caches()}
    stays = sum(n for f, n in sizes.items() if f.name in spare)
    if stays + wanted > budget or wanted > 0.8 * (free_bytes(root()) + sum(sizes.values()) - stays):
        return False
    for folder in list(sizes):
        if sum(sizes.values()) + wanted <= budget and wanted <= 0.8 * free_bytes(root()):
            return True
        if folder.name not in spare:
            shutil.rmtree(folder)
            del sizes[folder]
    return sum(sizes.values()) + wanted <= budget and wanted <= 0.8 * free_bytes(root())


def _sweep() -> None:
    """Delete what builds that were killed left more than a day ago; a younger one may still be filled."""
    for folder in root().glob(".*.tmp"):
        if time.time() - folder.stat().st_mtime > DAY:
            shutil.rmtree(folder, ignore_errors=True)


def clean() -> int:
    """Delete every cache and what killed builds left; returns the bytes freed."""
    if not root().is_dir():
        return 0
    freed = 0
    for folder in root().iterdir():
        if folder.is_dir():
            freed += size(folder)
            shutil.rmtree(folder)
    return freed

"""Images of rows as bytes of one size, for tasks that read them, alone or beside a text."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tunesmith import scratch
from tunesmith.data import Record
from tunesmith.data.images import look
from tunesmith.data.opening import Unreadable
from tunesmith.data.pixels import Pixels
from tunesmith.errors import TunesmithError
from tunesmith.tasks import Array, Tick, no_tick

if TYPE_CHECKING:
    from tunesmith.bases.processor import ImageProcessor


FOLDER = "tower"
"""Where the second network of a model lies in its folder, and its image processor."""


def pixels_of(
    records: Sequence[Record], column: str, processor: "ImageProcessor", tick: Tick = no_tick, *, lacking: bool = False
) -> Pixels:
    """The images that the step `pictures` has seen, (N, C, H, W). `lacking`: an empty cell is a row without one."""
    shape = processor.shape
    bytes_NCHW = scratch.room(len(records) * int(np.prod(shape)), np.uint8).reshape(-1, *shape)
    there_N = scratch.room(len(records), np.bool_)
    for row, record in enumerate(records):
        there_N[row] = not lacking or record.cells.get(column) not in (None, "")
        bytes_NCHW[row] = processor(_opened(record, column)) if there_N[row] else 0
        tick(1)
    return Pixels(bytes_NCHW, processor.scale_C, processor.shift_C, there_N=there_N if lacking else None)


def processed(folder: Path, records: Sequence[Record], column: str) -> dict[int, Array]:
    """What the image processor in a folder, opened with transformers alone, makes of the image of each row that has
    one, by the row's place."""
    from transformers import AutoImageProcessor

    library: Any = AutoImageProcessor.from_pretrained(folder, local_files_only=True, backend="pil")  # type: ignore[no-untyped-call]
    there = [i for i, record in enumerate(records) if record.cells.get(column)]
    made = (
        library(images=[_opened(records[i], column) for i in there], return_tensors="np")["pixel_values"]
        if there
        else []
    )
    return dict(zip(there, made, strict=True))


def _opened(record: Record, column: str) -> Any:
    path = Path(str(record.cells[column]))
    try:
        return look(path, max_pixels=1 << 40).image
    except Unreadable as error:
        raise TunesmithError(f"{path}: was read before, and now: {error}. Put it back and run again") from None

"""What `generate` does where each row brings an image: its columns, its tokens, and what cannot go with it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tunesmith.data import Record
from tunesmith.data.names import plain
from tunesmith.data.ragged import Ragged
from tunesmith.data.roles import find_column
from tunesmith.data.table import Table
from tunesmith.dialogue.formats import Columns, detect
from tunesmith.errors import TunesmithError
from tunesmith.tasks import Array, Encoded, Tick, _files, no_tick
from tunesmith.tasks._pixels import pixels_of

if TYPE_CHECKING:
    from tunesmith.bases.seeing import SeeingTokenizer

UNREAD = -100
CAPTIONS = frozenset(["caption", "captions", "description", "text", "answer", "描述", "说明", "标题"])
"""Usual names of what is said of an image, where nothing is asked."""


def columns(table: Table, image: str) -> Columns:
    """Which columns mean what beside an image: as in any conversation, or a caption alone."""
    find_column(image, table.columns, table.source)
    left = [c for c in table.columns if c != image]
    said = left if len(left) == 1 else [c for c in left if plain(c) in CAPTIONS]
    try:
        found = detect(left, [cells for _, cells in table.rows[:200]], table.source)
    except TunesmithError:
        if len(said) != 1:
            raise
        return Columns(kind="alpaca", response=said[0])
    return found if found.kind != "text" else Columns(kind="alpaca", response=found.prompt)


def objection(task: Any, plan: Any) -> str | None:
    """Why settings of that plan cannot go with images beside texts."""
    if text := _files.objection(task, plan, "pictures", "images"):
        return text
    if task.learn == "all":
        return "learn: all would learn the question, too, and what stands for its image is no word. Use answers or last"
    if task.vision == "learn" and not plan.method.moves_base():
        return (
            f"vision: learn has no effect under {plan.method.name}, which moves nothing of the base itself. Use method "
            "full, or vision: rest"
        )
    odd = {"base.rope": plan.base.rope, "replay": plan.replay.rows or plan.replay.keep}
    if found := [path for path, value in odd.items() if value]:
        return f"{found[0]} is for texts alone, and rows of this task bring an image. Remove it"
    if any(step.name == "chunk" for step in plan.steps):
        return "chunk cuts plain texts, and rows of this task bring an image. Take it out of steps"
    return None


def room(task: Any, tokenizer: "SeeingTokenizer") -> int:
    """Tokens of the limit that are left for words; the image's own one is counted as a word."""
    left = int(task.max_tokens) - tokenizer.places + 1
    if left < _LEAST:
        need = 64 * -(-(tokenizer.places + 128) // 64)
        raise TunesmithError(
            f"task.max_tokens: an image takes {tokenizer.places} tokens of this base, and {task.max_tokens} leave no "
            f"room for words. Set task.max_tokens={need}"
        )
    return left


_LEAST = 8


def seen(
    encoded: Encoded, records: Sequence[Record], column: str, tokenizer: "SeeingTokenizer", tick: Tick = no_tick
) -> Encoded:
    """Rows of words with their images: pixels beside them, and a token for each place of an image."""
    ids, times_M = _expanded(encoded.ids, tokenizer)
    labels, own = encoded.labels, encoded.token_weights
    if labels is not None:
        flat = np.repeat(labels.flat, times_M)
        flat[ids.flat == tokenizer.placeholder_id] = UNREAD
        labels = Ragged(flat, ids.offsets)
    pixels = pixels_of(records, column, tokenizer.images, tick)
    return replace(
        encoded, ids=ids, labels=labels, types=_answers(ids, labels) if tokenizer.typed else None,
        token_weights=None if own is None else np.repeat(own, times_M),
        beside=Encoded.of_pixels(pixels, None, encoded.weights),
    )  # fmt: skip


def _expanded(ids: Ragged, tokenizer: "SeeingTokenizer") -> tuple[Ragged, Array]:
    """(rows with all of an image's tokens in the place of its one token, how often each token of `ids` stands there).
    Raises TunesmithError with the number of the first row that has not just one image."""
    here_M = ids.flat == tokenizer.placeholder_id
    counts_N = np.add.reduceat(here_M.astype(np.int64), ids.offsets[:-1]) if len(ids) else np.zeros(0, np.int64)
    if len(odd := np.flatnonzero(counts_N != 1)):
        raise TunesmithError(
            f"row {odd[0] + 1} has {counts_N[odd[0]]} images as its template writes it, and one is read. Name another "
            f"template (task.template), and no {tokenizer.placeholder} as a control token in a text"
        )
    times_M = np.where(here_M, tokenizer.places, 1)
    offsets = np.append(0, np.cumsum(times_M))[ids.offsets]
    return Ragged(np.repeat(ids.flat, times_M), offsets), times_M


def _answers(ids: Ragged, labels: Ragged | None) -> Ragged:
    """Beside each token 1 from the first on that is learnt, and 0 before it."""
    types_M = np.zeros(len(ids.flat), np.int32)
    for row, own in enumerate(labels or ()):
        first = int(np.flatnonzero(own != UNREAD)[0])
        types_M[ids.offsets[row] + first : ids.offsets[row + 1]] = 1
    return Ragged(types_M, ids.offsets)

"""What text tasks share: tokens with an account of what is cut, pairs, and side columns as text or as numbers."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from tunesmith import scratch
from tunesmith.data import Record, Roles
from tunesmith.data.coded import coded
from tunesmith.data.ragged import Growing, Ragged
from tunesmith.data.roles import find_column, infer_label, infer_text, text_of
from tunesmith.data.table import Table
from tunesmith.errors import TunesmithError
from tunesmith.scratch import Column
from tunesmith.tasks import Array, Encoded, Facts, LogitsTask, Tick
from tunesmith.tasks._pixels import FOLDER, processed
from tunesmith.tasks._side import side_vectors

if TYPE_CHECKING:
    from torch import Tensor

SideAs = Literal["text", "vector"]
_PIECE = 4096
"""Rows in one call of the tokenizer: enough to keep it busy, few enough that their Python lists do not matter."""


class TextTask(LogitsTask):
    """Settings that every task on texts has. Abstract: it adds fields, never behaviour that a task overrides."""

    text: str | None = None
    """Column that holds the text; found by itself when only one can be meant."""
    label: str | None = None
    """Column that holds the answer; found by itself when only one can be meant."""
    pair: str | None = None
    """Column with a second text, for pairs (similarity, inference, question and answer)."""
    query: str | None = None
    """Column whose equal values are candidates for one question (a re-ranker): ranking metrics order them by answer,
    intervals draw them together, and all stay on one side of a split."""
    side_columns: tuple[str, ...] = ()
    """Further columns that the model reads: numbers or categories."""
    side: SideAs = "text"
    """text: written before the text as `name: value`, opens in plain transformers. vector: standardised and added
    to what the head reads, exact for numbers; needs tunesmith to open."""
    impute: Literal["mean", "median"] = "mean"
    """What a missing number of a side column is read as (side: vector), of the training rows; a mark says that it was
    missing. A missing category is a category of its own."""
    missing: tuple[str, ...] = ()
    """Words in side columns that stand for no value, beside empty cells: [NA, n/a] (side: vector)."""
    image: str | None = None
    """Column with the path of an image, from the folder of the file. A second tower reads it (`tower`), and both are
    weighed together: late fusion. Needs tunesmith to open."""
    no_image: Literal["refuse", "learn"] = "refuse"
    """A row whose image cell is empty: stop and name it, or learn what to answer without."""
    max_tokens: PositiveInt = 256
    """Longest input in tokens; what is cut off beyond is counted in the ledger."""

    @property
    def vector(self) -> bool:
        """Whether side columns reach the head as numbers."""
        return bool(self.side_columns) and self.side == "vector"

    @property
    def opens_images(self) -> bool:
        return self.image is not None

    def replayed(self, folder: Path, records: Sequence[Record]) -> tuple[str, dict[int, Array]] | None:
        return None if self.image is None else ("seen", processed(folder / FOLDER, records, self.image))

    def wanted_steps(self) -> tuple[str, ...]:
        return type(self).usual_steps if self.image is None else ("clean", "pictures", "dedup")

    @property
    def usual_baselines(self) -> tuple[str, ...]:
        """Where there are several inputs, each alone, and the whole without each."""
        further = [name for name, there in (("image", self.opens_images), ("side", self.vector)) if there]
        silenced = [f"no_{name}" for name in ("text", *further)] if further else []
        ranked = ("bm25", "cosine") if self.query and self.pair else ()
        return ("majority", "tfidf", "probe", *further, *silenced, *ranked)

    def resolved(self, table: Table) -> "TextTask":
        """With text and label columns named."""
        named = (self.text, self.pair, self.label, self.image, self.query)
        known = {c: find_column(c, table.columns, table.source) for c in named if c}
        for column in self.side_columns:
            find_column(column, table.columns, table.source)
        free = [c for c in table.columns if c not in known and c not in self.side_columns]
        text = self.text or infer_text(free, table)
        label = self.label or infer_label([c for c in free if c != text], table)
        return self.model_copy(update={"text": text, "label": label})

    def roles(self, *, labelled: bool = True) -> Roles:
        """Which columns the resolved task reads."""
        assert self.text is not None, "the task is not resolved"
        texts = (self.text,) if self.pair is None else (self.text, self.pair)
        return Roles(
            texts, self.label if labelled else None, self.kind == "numbers", side=self.side_columns, file=self.image,
            group=self.query if labelled else None, fileless=self.no_image == "learn",
        )  # fmt: skip


def grown_labels(facts: Facts, earlier: Facts) -> Facts:
    """Labels that the earlier model knows in their old places, new ones behind them."""
    labels = (*earlier.labels, *(name for name in facts.labels if name not in earlier.labels))
    return facts.model_copy(update={"labels": labels, "counts": {k: facts.counts.get(k, 0) for k in labels}})


def encode(
    task: TextTask, records: Sequence[Record], roles: Roles, tokenizer: Any, facts: Facts, tick: Tick
) -> Encoded:
    """Rows -> tokens, side vector and weights, a piece at a time; the task adds its targets."""
    store, weights = Tokens(), scratch.room(len(records), np.float32)
    side = side_table(task, records, facts)
    for part in pieces(len(records)):
        first, second = written(task, records[part], roles)
        store.extend(*tokens(first, second, tokenizer, task.max_tokens))
        weights[part] = [r.weight for r in records[part]]
        tick(len(first))
    ids, types, lost = store.done()
    return Encoded(ids, types, lost, None, side, weights, queries=queries_of(task, records, roles))


def queries_of(task: TextTask, records: Sequence[Record], roles: Roles) -> NDArray[np.int64] | None:
    """Which rows are candidates for one question, (N,); None where the task has no such column, or rows no answer."""
    column = task.query
    if column is None or roles.label is None:
        return None
    return coded(str(r.cells[column]) for r in records).numbers.astype(np.int64)


def pieces(rows: int) -> Iterator[slice]:
    """Rows that are tokenised in one call."""
    return (slice(start, min(start + _PIECE, rows)) for start in range(0, rows, _PIECE))


def side_table(task: TextTask, records: Sequence[Record], facts: Facts) -> Array | None:
    """Side vectors (N, S) of all rows; None where side columns are no numbers."""
    if facts.side is None or not task.vector:
        return None
    side = table(len(records), facts.side.width)
    for part in pieces(len(records)):
        side[part] = side_vectors(records[part], facts.side, task.missing)
    return side


def table(rows: int, columns: int) -> Array:
    """Zeros to write into, (rows, columns) float32; in a file when they are many."""
    return scratch.room(rows * columns, np.float32).reshape(rows, columns)


class Tokens:
    """Tokens of many rows in the making. Types of zeros alone say nothing and are kept only if others follow."""

    def __init__(self) -> None:
        self.ids, self.lost = Growing(), Column(np.int32)
        self.types: Column | None = None

    def extend(self, ids: list[list[int]], types: list[list[int]] | None, lost: list[int]) -> None:
        """Add rows as `tokens` gives them."""
        if types is not None and self.types is None:
            self.types = Column(np.int32)
            self.types.extend(np.zeros(self.ids.size))
        self.ids.extend(ids)
        self.lost.extend(lost)
        if self.types is not None:
            self.types.extend([t for row in types for t in row] if types else np.zeros(sum(map(len, ids))))

    def done(self) -> tuple[Ragged, Ragged | None, NDArray[np.int32]]:
        """(ids, token types, tokens lost) of all rows."""
        ids = self.ids.done()
        return ids, None if self.types is None else Ragged(self.types.array(), ids.offsets), self.lost.array()


def written(task: TextTask, records: Sequence[Record], roles: Roles) -> tuple[list[str], list[str] | None]:
    """(texts, second texts) of rows, side columns written before the first where they are text."""
    first = [text_of(r, roles.texts[0]) for r in records]
    if task.side_columns and task.side == "text":
        first = [f"{_side_text(task, r)}. {text}" for r, text in zip(records, first, strict=True)]
    second = [text_of(r, roles.texts[1]) for r in records] if len(roles.texts) > 1 else None
    return first, second


def _side_text(task: TextTask, record: Record) -> str:
    return ", ".join(f"{c}: {_plain(record.cells.get(c))}" for c in task.side_columns)


def _plain(value: object) -> str:
    return "" if value is None else str(value)


def tokens(
    first: list[str], second: list[str] | None, tokenizer: Any, limit: int
) -> tuple[list[list[int]], list[list[int]] | None, list[int]]:
    """(ids, token types, tokens lost) for each row, special tokens included, at most `limit` long.

    Padding and truncation of the tokenizer file itself are switched off (MiniLM's would pad everything to 128).
    Pairs are cut from the longer side.
    """
    if not first:
        return [], None, []
    whole = tokenizer(first, second, padding=False, truncation=False, return_attention_mask=False, verbose=False)
    ids, types = list(whole["input_ids"]), whole.get("token_type_ids")
    types = None if types is None else list(types)
    lost = [max(0, len(row) - limit) for row in ids]
    if cut := [i for i, gone in enumerate(lost) if gone]:
        short = tokenizer(
            [first[i] for i in cut], None if second is None else [second[i] for i in cut], padding=False,
            truncation="longest_first", max_length=limit, return_attention_mask=False, verbose=False,
        )  # fmt: skip
        for place, i in enumerate(cut):
            ids[i] = short["input_ids"][place]
            if types is not None:
                types[i] = short["token_type_ids"][place]
        if any(len(ids[i]) > limit for i in cut):
            raise TunesmithError(f"task.max_tokens: {limit} leaves no room beside the special tokens. Set it higher")
    # a tokenizer without special tokens makes nothing of an empty text, and a network cannot read nothing
    nothing = tokenizer.pad_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    ids, types = [row or [nothing] for row in ids], None if types is None else [row or [0] for row in types]
    keep = types is not None and any(any(t) for t in types)
    return ids, types if keep else None, lost


def softmax(logits_NC: Array) -> Array:
    """Probabilities (N, C) in float64."""
    shifted = np.asarray(logits_NC, dtype=np.float64)
    shifted = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def cross_entropy(logits_BC: "Tensor", targets_B: "Tensor", smoothing: float, focal: float) -> "Tensor":
    """Of each row (B,), smoothed or focal; 0 where the target is -1."""
    from torch.nn import functional

    plain = functional.cross_entropy(logits_BC, targets_B, reduction="none", label_smoothing=smoothing, ignore_index=-1)
    if not focal:
        return plain
    surprise = 1 - (-plain).exp()
    return surprise.clamp_min(1e-7) ** focal * plain  # at 0 a power below 1 has no finite gradient

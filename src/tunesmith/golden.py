"""The golden batch: inputs and the outputs that every later form of the model must reproduce."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.data import Record
from tunesmith.data.ragged import Ragged
from tunesmith.data.words import ranges
from tunesmith.errors import GateRefused
from tunesmith.files import read_json, write_folder, write_json
from tunesmith.model import Model
from tunesmith.tasks import Array, Encoded, Slots

EXACT = 1e-5
"""Largest difference of logits that counts as exact: EXACT x max(1, |logit|)."""


WRITTEN = 4
"""Rows whose written answer is kept, too."""


def write_golden(folder: Path, model: Model, encoded: Encoded, rows: Sequence[int], records: Sequence[Record]) -> None:
    """Store rows as the user has them, as tokens, and the model's logits for them."""
    import torch
    from safetensors.torch import save_file

    from tunesmith.engine.batches import collate

    part = pick(encoded, rows)
    if encoded.relations is not None or encoded.paired is not None:  # what anybody asks for are vectors
        part = model.encode(records, model.plan.task.roles(labelled=False))
    read = part.inner or part
    if read.waves is not None:  # padded here as nothing is when it is run
        lengths = torch.from_numpy(read.waves.lengths)
        inputs = {read.waves.name: read.waves.padded(range(len(read))), "lengths": lengths}
    else:
        inputs = collate(read, range(len(read)), model.tokenizer.pad_token_id).inputs
    tensors = {**inputs, "logits": torch.from_numpy(model.outputs(part))}
    if part.side is not None:
        tensors["side"] = torch.from_numpy(part.side)
    if part.beside is not None and part.beside.pixels is not None:
        tensors["seen"] = part.beside.pixels.values(range(len(part)))
    for i, form in enumerate(part.forms if part.slots is not None else ()):
        own = collate(form, range(len(rows)), model.tokenizer.pad_token_id)
        assert own.places is not None, "what is read has a place"
        tensors[f"places.{i}"] = own.places
        tensors |= {f"{name}.{i}": own.inputs[name] for name in ("input_ids", "attention_mask")}
    if part.windows is not None:
        tensors["words"] = torch.from_numpy(words_in(part))
    if part.reference is not None:
        tensors["reference"] = torch.from_numpy(part.reference)
    if read.labels is not None:
        tensors["labels"] = torch.from_numpy(beside(read.labels))
    written = [str(text) for text in model.write(records[:WRITTEN])] if model.plan.task.writes else []

    def fill(temporary: Path) -> None:
        save_file({k: v.contiguous() for k, v in tensors.items()}, str(temporary / "golden.safetensors"))
        write_json(temporary / "rows.json", [{"line": r.line, "cells": r.cells} for r in records])
        if written:
            write_json(temporary / "written.json", written)

    write_folder(folder, fill)


def beside(labels: Ragged) -> Array:
    """Labels as a table (N, longest), padded with what is not read."""
    out = np.full((len(labels), int(labels.lengths.max(initial=0))), -100, dtype=np.int64)
    for row, own in enumerate(labels):
        out[row, : len(own)] = own
    return out


def words_in(encoded: Encoded) -> Array:
    """(M, 3): the window that answers each word, the place in it, and whether the word only continues one."""
    windows, reads = encoded.windows, encoded.reads
    assert windows is not None and reads is not None, "answers belong to words"
    own = np.repeat(np.arange(len(encoded)), np.diff(windows.parts))
    return np.stack([own, reads.flat[reads.offsets[own] + windows.places], windows.follows], axis=1).astype(np.int64)


def pick(encoded: Encoded, rows: Sequence[int]) -> Encoded:
    """Some rows of encoded data; texts, where rows are windows of texts."""
    index, words, windows = list(rows), encoded.words, encoded.windows
    if words is not None and windows is not None:
        words, _ = words.take(np.asarray(rows, dtype=np.int64))
        windows, own = windows.pick(np.asarray(rows, dtype=np.int64))
        index = own.tolist()
    targets = index if encoded.reads is None else ranges(encoded.reads.offsets, np.array(index, dtype=np.int64))
    inner = None if encoded.inner is None else pick(encoded.inner, encoded.sequences(index))
    return Encoded(
        ids=encoded.ids.pick(index) if inner is None else inner.ids.by_twos(),
        types=None if encoded.types is None else encoded.types.pick(index),
        lost=encoded.lost[index],
        targets=None if encoded.targets is None else encoded.targets[targets],
        side=None if encoded.side is None else encoded.side[index],
        soft=None if encoded.soft is None else encoded.soft[index],
        weights=encoded.weights[index],
        labels=None if encoded.labels is None else encoded.labels.pick(index),
        apart=encoded.apart,
        token_weights=None if encoded.token_weights is None else _own(encoded.token_weights, encoded.labels, index),
        references=None if encoded.references is None else [encoded.references[i] for i in index],
        lost_labels=None if encoded.lost_labels is None else encoded.lost_labels[index],
        sizes=None if encoded.sizes is None else encoded.sizes[index],
        slots=None if encoded.slots is None else Slots(encoded.slots.first[index], encoded.slots.count),
        others=tuple(pick(form, rows) for form in encoded.others),
        inner=inner,
        waves=None if encoded.waves is None else encoded.waves.pick(index),
        pixels=None if encoded.pixels is None else encoded.pixels.pick(index),
        reference=None if encoded.reference is None else encoded.reference[index],
        reads=None if encoded.reads is None else encoded.reads.pick(index),
        windows=windows,
        words=words,
        beside=None if encoded.beside is None else encoded.beside.few(index),
    )


def _own(values: Array, labels: Ragged | None, index: Sequence[int]) -> Array:
    """What stands beside the labels of some rows."""
    assert labels is not None, "weights are those of labels"
    return np.concatenate([values[labels.offsets[i] : labels.offsets[i + 1]] for i in index])


def read_golden(folder: Path) -> tuple[list[Record], dict[str, Any]]:
    """(rows, tensors by name)."""
    from safetensors.torch import load_file

    rows = read_json(folder / "rows.json")
    records = [Record(i, "golden", i + 1, r["line"], r["cells"]) for i, r in enumerate(rows)]
    return records, load_file(str(folder / "golden.safetensors"))


def require_same_words(model: Model, folder: Path, records: Sequence[Record], what: str) -> int:
    """How many stored answers the model writes again, word for word. Raises GateRefused where one differs."""
    if not (folder / "written.json").is_file():
        return 0
    before = read_json(folder / "written.json")
    now = [str(text) for text in model.write(records[: len(before)])]
    if odd := [i for i, (a, b) in enumerate(zip(before, now, strict=True)) if a != b]:
        raise GateRefused(
            f"{what} does not write as the trained model does: asked for row {odd[0] + 1} of the golden batch it says "
            f"'{now[odd[0]][:80]}' and not '{before[odd[0]][:80]}'. The run is not done"
        )
    return len(before)


def error_of(logits: Array, golden: Array) -> float:
    """Largest difference in units of max(1, |logit|)."""
    return float((np.abs(logits - golden) / np.maximum(1, np.abs(golden))).max())


def require_equal(logits: Array, golden: Array, what: str) -> float:
    """The error, if it counts as exact. Raises GateRefused otherwise."""
    error = error_of(logits, golden)
    if not error <= EXACT:
        raise GateRefused(
            f"{what} does not answer as the trained model does: the logits of the golden batch differ by {error:.2g}, "
            f"allowed {EXACT:g}. The run is not done"
        )
    return error

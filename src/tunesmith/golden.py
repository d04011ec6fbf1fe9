"""The golden batch: inputs and the outputs that every later form of the model must reproduce."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.data import Record
from tunesmith.errors import GateRefused
from tunesmith.files import read_json, write_folder, write_json
from tunesmith.model import Model
from tunesmith.tasks import Array, Encoded

EXACT = 1e-5
"""Largest difference of logits that counts as exact: EXACT x max(1, |logit|)."""


def write_golden(folder: Path, model: Model, encoded: Encoded, rows: Sequence[int], records: Sequence[Record]) -> None:
    """Store rows as the user has them, as tokens, and the model's logits for them."""
    import torch
    from safetensors.torch import save_file

    from tunesmith.engine.batches import collate

    part = pick(encoded, rows)
    batch = collate(part, range(len(rows)), model.tokenizer.pad_token_id)
    tensors = {**batch.inputs, "logits": torch.from_numpy(model.outputs(part))}
    if part.side is not None:
        tensors["side"] = torch.from_numpy(part.side)

    def fill(temporary: Path) -> None:
        save_file({k: v.contiguous() for k, v in tensors.items()}, str(temporary / "golden.safetensors"))
        write_json(temporary / "rows.json", [{"line": r.line, "cells": r.cells} for r in records])

    write_folder(folder, fill)


def pick(encoded: Encoded, rows: Sequence[int]) -> Encoded:
    """Some rows of encoded data."""
    index = list(rows)
    return Encoded(
        ids=encoded.ids.pick(index),
        types=None if encoded.types is None else encoded.types.pick(index),
        lost=encoded.lost[index],
        targets=None if encoded.targets is None else encoded.targets[index],
        side=None if encoded.side is None else encoded.side[index],
        weights=encoded.weights[index],
    )


def read_golden(folder: Path) -> tuple[list[Record], dict[str, Any]]:
    """(rows, tensors by name)."""
    from safetensors.torch import load_file

    rows = read_json(folder / "rows.json")
    records = [Record(i, "golden", i + 1, r["line"], r["cells"]) for i, r in enumerate(rows)]
    return records, load_file(str(folder / "golden.safetensors"))


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

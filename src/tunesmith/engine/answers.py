"""Answers for many rows: evaluation mode, no gradients, rows of similar length together."""

from collections.abc import Callable

import numpy as np
import torch

from tunesmith.bases.family import SoundFamily, VisionFamily
from tunesmith.engine.batches import collate, pieces, pieces_of
from tunesmith.engine.language import LanguageWay
from tunesmith.engine.network import Network
from tunesmith.engine.skipping import Skipping
from tunesmith.engine.ways import Way
from tunesmith.tasks import Array, Encoded, Task

MAX_TOKENS = 2048  # more falls out of the cache: 8 % slower at 8,192


def answer_rows(
    way: Way | LanguageWay, task: Task, net: Network, encoded: Encoded, *, tick: Callable[[int], None] = lambda _: None
) -> Array:
    """What the network says, (N, C) float32 in the order of the rows (or of their words), as the task reads it. `tick`
    is told how many rows are done after each piece. The network stays in evaluation mode."""
    net.eval()
    out: Array | None = None
    with torch.inference_mode():
        for rows in way.pieces(encoded, range(len(encoded)), MAX_TOKENS):
            found = task.read(way, encoded, rows).cpu().numpy()
            if out is None:
                out = np.empty((encoded.num_outputs, found.shape[1]), dtype=np.float32)
            out[encoded.outputs_of(rows)] = found
            tick(len(rows))
    return out if out is not None else np.empty((0, 1), dtype=np.float32)


def given_states(net: Network, family: SoundFamily | VisionFamily, encoded: Encoded) -> Array:
    """What the head of a network for images or sounds would be given, (N, H)."""
    net.eval()
    lower, cut = Skipping(net, family), len(family.block_list(net.auto))
    out: Array | None = None
    with torch.inference_mode():
        for rows in pieces_of(encoded, range(len(encoded)), MAX_TOKENS):
            found = lower.lower(encoded, rows, cut)[1].float().cpu().numpy()
            if out is None:
                out = np.empty((len(encoded), found.shape[1]), dtype=np.float32)
            out[rows] = found
    return out if out is not None else np.empty((0, 1), dtype=np.float32)


def pooled_states(net: Network, encoded: Encoded, pad_id: int, trunk: torch.nn.Module) -> Array:
    """Mean of the trunk's last states over the tokens of each row, (N, H): what the frozen base knows of a text."""
    trunk.eval()
    out: Array | None = None
    with torch.inference_mode():
        for rows in pieces(range(len(encoded)), encoded.lengths, MAX_TOKENS):
            batch = collate(encoded, rows, pad_id)
            device = next(trunk.parameters()).device
            inputs = {k: v.to(device) for k, v in batch.inputs.items()}
            states_BTH = trunk(**inputs).last_hidden_state
            mask_BT1 = inputs["attention_mask"].unsqueeze(-1)
            mean_BH = ((states_BTH * mask_BT1).sum(1) / mask_BT1.sum(1)).float().cpu().numpy()
            if out is None:
                out = np.empty((len(encoded), mean_BH.shape[1]), dtype=np.float32)
            out[rows] = mean_BH
    return out if out is not None else np.empty((0, 1), dtype=np.float32)

"""What each input adds: a trained model's own answers with one of its inputs silenced.

Its logits are a sum of what it draws from text, image and side columns. One of them at a time is held at its mean over
the validation rows, so that only how it tells rows apart is taken away.

Shape letters: N rows, C outputs, S side features.
"""

from collections.abc import Mapping

import numpy as np

from tunesmith.model import Model
from tunesmith.tasks import Array, Encoded


def without(model: Model, encoded: Mapping[str, Encoded]) -> dict[str, dict[str, Array]]:
    """{no_text, no_image, no_side: {held-out split: outputs (N, C)}}, of the inputs that there are."""
    shares = {split: shares_of(model, rows) for split, rows in encoded.items() if split != "train"}
    usual = {name: share_NC.mean(0) for name, share_NC in shares["validation"].items()}
    return {
        f"no_{name}": {s: (sum(of.values()) - of[name] + usual[name]).astype(np.float32) for s, of in shares.items()}
        for name in usual
    }


def shares_of(model: Model, rows: Encoded) -> dict[str, Array]:
    """What each input adds to the outputs, (N, C) by input."""
    import torch

    found: dict[str, Array] = {}
    net, outputs_NC = model.net, model.outputs(rows)
    with torch.inference_mode():
        if net.side is not None and rows.side is not None:
            found["side"] = net.side(torch.from_numpy(rows.side).to(net.side.weight)).cpu().numpy()
        if net.tower is not None:
            pieces = model.shortcuts.plain.pieces(rows, range(len(rows)), model.plan.train.micro_tokens)
            found["image"] = np.empty_like(outputs_NC)
            for piece in pieces:
                found["image"][piece] = net.tower(rows, piece).cpu().numpy()
    return {"text": outputs_NC - sum(found.values()), **found}

"""Two domains in one run: what is learnt from, what the source alone would be, and how far apart the domains are.

Proxy A-distance (Ben-David et al. 2010): 2 (1 - 2 e), where e is the error of a linear model that tells rows of the
target from rows of the source by what the output layer is given, cross-validated. 0: nothing tells them apart; 2:
always.

Shape letters: N rows, H width.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith import scratch
from tunesmith.data.rows import ids
from tunesmith.engine.answers import MAX_TOKENS
from tunesmith.evaluation.baselines import probe
from tunesmith.model import Model
from tunesmith.plan import Plan
from tunesmith.prepared import Prepared
from tunesmith.tasks import Array, Encoded
from tunesmith.tasks._blend import Blend

MOST = 500
"""Rows of each domain that the distance is measured on."""
FOLDS = 5
RESAMPLES = 1000


def lessons(model: Model, prepared: Prepared, train: Encoded) -> Encoded:
    """What the loop learns from: the training rows, and what the task lets join them. Tokens that are cut off rows
    without a label go into the ledger."""
    task, bare = model.plan.task, None
    if prepared.bare:
        bare = model.encode(prepared.bare, task.roles(labelled=False))
        known = ids(prepared.bare)
        for row in scratch.where(bare.lost > 0).tolist():
            prepared.ledger.truncated(int(known[row]), int(bare.lost[row]))
    joined_N = np.isin(ids(prepared.splits["train"]), prepared.joined)
    return task.lessons(train, joined_N, bare, looked_at=any(p.reads_states for p in model.plan.penalties))


def notes(plan: Plan, rows: Encoded) -> list[str]:
    """What a user should know of the two domains."""
    if rows.target is None or rows.blend is None:
        return []
    labelled, bare = int((rows.target & (rows.weights > 0)).sum()), int((rows.weights == 0).sum())
    share = 1 - rows.blend.counts[0] / len(rows.blend)
    found = [
        f"{int((~rows.target).sum())} rows of the source and {labelled} of the target are learnt from, {bare} of the "
        f"target without a label; {share:.0%} of the rows in a step are of the target. Validation rows choose the "
        "checkpoint, and are of the source unless data.validation is a file of the target"
    ]
    if not isinstance(plan.data.test, str):
        told = "test rows are drawn from the source" if plan.data.test else "there are no test rows"
        found.append(f"{told}: how good it is on the target is not measured. Name a file with labelled rows of the "
                     "target: data.test")  # fmt: skip
    return found


def source_plan(plan: Plan) -> Plan:
    """The same without what brings two domains together."""
    return plan.model_copy(update={"penalties": tuple(p for p in plan.penalties if not p.reads_states)})


def source_alone(rows: Encoded) -> Encoded:
    """The rows of the source, as many an epoch as there were of both."""
    assert rows.target is not None and rows.blend is not None, "rows of two domains"
    blend = Blend((np.flatnonzero(~rows.target),), (len(rows.blend),))
    return replace(rows, blend=blend)


def domains(held: Encoded, learnt: Encoded, test: Encoded | None) -> tuple[Encoded, Array, Encoded, Array]:
    """(rows, which of them are of the source, rows, which of them are of the target) to tell domains apart by, as many
    of each: the validation rows, and the test rows, or without those the target rows that are learnt from."""
    assert learnt.target is not None, "rows of two domains"
    strange, which = (learnt, np.flatnonzero(learnt.target)) if test is None else (test, np.arange(len(test)))
    size = min(MOST, len(held), len(which))

    def spread(rows: Array) -> Array:
        return np.asarray(rows[np.linspace(0, len(rows) - 1, size).round().astype(int)])

    return held, spread(np.arange(len(held))), strange, spread(which)


def states(model: Model, encoded: Encoded, rows: Array) -> NDArray[np.float32]:
    """What the output layer is given of some rows, (N, H), without dropout."""
    import torch

    model.shortcuts.prove(encoded)
    model.net.eval()
    way, place = model.shortcuts.way_for(encoded), {int(row): i for i, row in enumerate(rows)}
    parts: list[tuple[list[int], Any]] = []
    with torch.inference_mode():
        for piece in way.pieces(encoded, list(place), MAX_TOKENS):
            parts.append((piece, way.told(encoded, piece)[1].cpu().numpy()))
    order = np.array([place[row] for piece, _ in parts for row in piece])
    found: NDArray[np.float32] = np.concatenate([said for _, said in parts])
    return found[np.argsort(order)]


def distance(source_NH: Array, target_NH: Array, seed: int, level: float) -> dict[str, float | None]:
    """{value, low, high} of the proxy A-distance of as many rows of each, with a bootstrap interval over the rows; null
    where there are fewer than two of each in a fold."""
    size = len(source_NH)
    if size < 2 * FOLDS:
        return {"value": None, "low": None, "high": None}
    states_NH, truth_N = np.concatenate([source_NH, target_NH]), np.repeat([0, 1], size)
    rng = np.random.default_rng([seed, 8])
    fold_N = np.concatenate([rng.permutation(size) % FOLDS for _ in range(2)])
    wrong_N = np.zeros(2 * size)
    for fold in range(FOLDS):
        out = fold_N == fold
        guessed = probe(states_NH[~out], truth_N[~out], states_NH[out], "classes", 2)
        wrong_N[out] = guessed.predicted != truth_N[out]
    drawn_R = wrong_N[rng.integers(0, 2 * size, (RESAMPLES, 2 * size))].mean(1)
    low, high = np.quantile(2 * (1 - 2 * drawn_R), [(1 - level) / 2, (1 + level) / 2])
    return {"value": float(2 * (1 - 2 * wrong_N.mean())), "low": float(low), "high": float(high)}

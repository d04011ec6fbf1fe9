"""Measures of search from images to texts and from texts to images.

An image asks once, and its answer is the best of its texts; each row asks with its text, and its answer is the best of
the text's images. `predicted` (N,) are places of texts, `scores` (N, 2) [similarity, place of the best image].

Shape letters: N rows, Q queries, R resamples (which draw images with all their texts).
"""

from typing import Any

import numpy as np

from tunesmith.metrics import Answers, Floats
from tunesmith.metrics._counts import divide


def objection(name: str, plan: Any) -> str | None:
    """Why it cannot be measured on a task."""
    return None if plan.task.sees else f"{name} compares images with texts, and this task reads no images"


def images(answers: Answers, weight_RN: Floats) -> tuple[Floats, Floats]:
    """(places (Q,), weights (R, Q)) of images."""
    if "images" not in answers.prepared:
        _, first, number = np.unique(answers.truth[:, 1], return_index=True, return_inverse=True)
        place_Q = np.full(len(first), np.inf)
        np.minimum.at(place_Q, number, answers.predicted.astype(np.float64))
        answers.prepared["images"] = (place_Q, first)
    place_Q, first = answers.prepared["images"]
    return place_Q, weight_RN[:, first]


def texts(answers: Answers, weight_RN: Floats) -> tuple[Floats, Floats]:
    """(places (N,), weights (R, N)) of the texts of rows."""
    assert answers.scores is not None, "ranked in both directions"
    return answers.scores[:, 1], weight_RN


def recall(place_Q: Floats, weight_RQ: Floats, k: int) -> Floats:
    """Share of the queries whose answer is among the first k, (R,)."""
    return divide(weight_RQ @ (place_Q <= k), weight_RQ.sum(1))


def median(place_Q: Floats, weight_RQ: Floats) -> Floats:
    """Median of the places, (R,): the middle one, or the mean of the two in the middle, as numpy has it."""
    order = np.argsort(place_Q, kind="stable")
    ends_RQ, sorted_Q = weight_RQ[:, order].cumsum(1), place_Q[order]
    total_R1 = ends_RQ[:, -1:]
    low = (ends_RQ <= (total_R1 - 1) // 2).sum(1).clip(max=len(order) - 1)
    high = (ends_RQ <= total_R1 // 2).sum(1).clip(max=len(order) - 1)
    return np.asarray((sorted_Q[low] + sorted_Q[high]) / 2)

"""Where does b win or lose? The same comparison on parts of the rows, corrected for their number."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.metrics import METRICS, Answers, Metric

LEAST = 20
"""Rows below which a part is counted and not tested: no test could tell anything."""
MOST = 30
"""Most parts, the largest ones."""


def by_length(texts: Sequence[str]) -> NDArray[np.str_]:
    """(N,) short, middle or long: thirds by characters, named with their bounds."""
    length_N = np.array([len(text) for text in texts])
    low, high = (int(each) for each in np.quantile(length_N, [1 / 3, 2 / 3], method="lower"))
    names = (f"short (up to {low} characters)", f"middle (up to {high})", f"long (over {high})")
    third_N: NDArray[np.str_] = np.array(names)[(length_N > low).astype(int) + (length_N > high)]
    return third_N


def by_class(answers: Answers) -> NDArray[np.str_]:
    """(N,) the true label of each row."""
    labels = np.array([*answers.labels, "(unknown label)"])
    true_N: NDArray[np.str_] = labels[answers.truth.astype(int)]  # -1 is the last
    return true_N


def within_a_class(metric: Metric) -> Metric:
    """What can be measured on rows of one class: for a metric of classes, the share of them that is found."""
    return METRICS.make("accuracy") if "classes" in metric.kinds else metric


def parts_of(values: NDArray[Any]) -> list[tuple[str, NDArray[np.bool_]]]:
    """(value, mask (N,)) of the parts, the largest first."""
    names, counts = np.unique(values, return_counts=True)
    order = sorted(zip(-counts, names, strict=True))[:MOST]
    return [(str(name), values == name) for _, name in order]

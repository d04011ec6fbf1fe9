"""Metrics: pure functions of answers and truth, one a file, each computed for many resamples at once.

Shape letters: R resamples, N rows, C classes. A metric takes a weight matrix (R, N) in which row r says how often
each data row counts in resample r, and returns (R,) values. The plain value is the one with all weights 1; a
bootstrap interval is the spread over multinomial weights; a paired test uses the same weights for both models.
This makes intervals a thousand times cheaper than calling a metric on a thousand copies, and exactly as right:
integer weights give what scikit-learn or scipy give for rows repeated that often, weight 0 drops a row, and where
those libraries give a number for the plain value, ours is the same number.
"""

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from tunesmith.catalog import Catalog, Part

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Kind = Literal["classes", "multilabel", "numbers", "text"]


@dataclass(frozen=True)
class Answers:
    """What a model answered and what is true, for N rows of one of three kinds.

    classes: `truth`, `predicted` (N,) class numbers (-1 in truth = a label the model does not know),
    `scores` (N, C) probabilities. multilabel: `truth`, `predicted` (N, C) of 0/1, `scores` (N, C).
    numbers: `truth`, `predicted` (N,) floats, no scores.

    Rows with truth -1 count as one further class that is never answered and has probability 0: wrong in accuracy,
    a class with recall 0 in macro averages, "not positive" in two-class metrics. This is what scikit-learn says of
    the same labels. `answers.take(answers.truth >= 0)` gives the answers on known labels alone.
    """

    kind: Kind
    truth: NDArray[np.generic]
    predicted: NDArray[np.generic]
    scores: Floats | None = None
    labels: tuple[str, ...] = field(default=())
    positive: int | None = None
    """Class number that counts as positive in two-class metrics; None = the last of two classes."""

    def take(self, rows: NDArray[np.bool_] | Ints) -> "Answers":
        """The answers of some rows, by mask or by number: a slice, or the rows whose label is known."""
        scores = None if self.scores is None else self.scores[rows]
        return replace(self, truth=self.truth[rows], predicted=self.predicted[rows], scores=scores)


class Metric(Part):
    """A number for how good answers are."""

    kinds: ClassVar[tuple[Kind, ...]]
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    two_classes_only: ClassVar[bool] = False

    @abstractmethod
    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows; NaN where a resample leaves the metric undefined."""


METRICS: Catalog[Metric] = Catalog("tunesmith.metrics", "metric")

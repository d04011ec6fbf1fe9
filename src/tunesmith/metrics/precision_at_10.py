"""Precision at 10: share of the first ten places that are taken by answers."""

from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._ranking import over_queries, recall


class PrecisionAt10(Metric):
    """Precision at 10: the share of answers among the first ten."""

    name: Literal["precision_at_10"] = "precision_at_10"
    kinds: ClassVar[tuple[Kind, ...]] = ("vectors",)
    prefer: ClassVar[str] = "prefer precision_at_10 when queries have many answers and ten are read"
    source: ClassVar[str] = "trec_eval, P"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        return over_queries(
            answers, weight_RN, self.name, lambda query, place, _: recall(query, place, 10) * np.bincount(query) / 10
        )

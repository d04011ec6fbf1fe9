"""Mean average precision: the mean, over a query's answers, of the share of answers down to their place."""

from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Answers, Floats, Ints, Kind, Metric
from tunesmith.metrics._ranking import nth, over_queries, per_query


class Map(Metric):
    """Mean average precision: precision at the place of each answer, averaged over answers and queries."""

    name: Literal["map"] = "map"
    kinds: ClassVar[tuple[Kind, ...]] = ("vectors",)
    prefer: ClassVar[str] = "prefer map when all answers of a query matter, wherever they stand"
    source: ClassVar[str] = "trec_eval, map"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        return over_queries(answers, weight_RN, self.name, _average)


def _average(query_A: Ints, place_A: Floats, _: Floats) -> Floats:
    return per_query(query_A, nth(query_A) / place_A) / np.bincount(query_A)

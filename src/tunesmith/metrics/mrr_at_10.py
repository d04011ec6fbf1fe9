"""Mean reciprocal rank: one over the place of the first answer, 0 where it is not among the first ten."""

from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Answers, Floats, Ints, Kind, Metric
from tunesmith.metrics._ranking import nth, over_queries, per_query


class MrrAt10(Metric):
    """Reciprocal rank: one over the place of the first answer, 0 beyond the first ten."""

    name: Literal["mrr_at_10"] = "mrr_at_10"
    kinds: ClassVar[tuple[Kind, ...]] = ("vectors",)
    prefer: ClassVar[str] = "prefer mrr_at_10 when one good answer is enough"
    source: ClassVar[str] = "Voorhees 1999, The TREC-8 question answering track report"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        return over_queries(answers, weight_RN, self.name, _reciprocal)


def _reciprocal(query_A: Ints, place_A: Floats, _: Floats) -> Floats:
    return per_query(query_A, np.where((nth(query_A) == 1) & (place_A <= 10), 1 / place_A, 0.0))

"""Recall at 10: share of a query's answers that stand among the first 10."""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._ranking import over_queries, recall


class RecallAt10(Metric):
    """Recall at 10: the share of the answers among the first ten."""

    name: Literal["recall_at_10"] = "recall_at_10"
    kinds: ClassVar[tuple[Kind, ...]] = ("vectors",)
    prefer: ClassVar[str] = "prefer recall_at_10 when people look at a page of results"
    source: ClassVar[str] = "trec_eval, recall"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        return over_queries(answers, weight_RN, self.name, lambda query, place, _: recall(query, place, 10))

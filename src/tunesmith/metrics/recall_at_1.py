"""Recall at 1: share of a query's answers that stand first."""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._ranking import over_queries, recall


class RecallAt1(Metric):
    """Recall at 1: the share of the answers that stand first."""

    name: Literal["recall_at_1"] = "recall_at_1"
    kinds: ClassVar[tuple[Kind, ...]] = ("vectors",)
    prefer: ClassVar[str] = "prefer recall_at_1 when one passage answers a query and only the first is shown"
    source: ClassVar[str] = "trec_eval, recall"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        return over_queries(answers, weight_RN, self.name, lambda query, place, _: recall(query, place, 1))

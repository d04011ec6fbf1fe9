"""Recall at 100: share of a query's answers that stand among the first 100."""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._ranking import over_queries, recall


class RecallAt100(Metric):
    """Recall at 100: the share of the answers among the first hundred."""

    name: Literal["recall_at_100"] = "recall_at_100"
    kinds: ClassVar[tuple[Kind, ...]] = ("vectors",)
    prefer: ClassVar[str] = "prefer recall_at_100 when a re-ranker follows, which can only order what was found"
    source: ClassVar[str] = "trec_eval, recall"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        return over_queries(answers, weight_RN, self.name, lambda query, place, _: recall(query, place, 100))

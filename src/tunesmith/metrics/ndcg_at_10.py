"""nDCG at 10: gains of the first ten places, discounted by place, over those of the best order."""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._ranking import ndcg, over_queries


class NdcgAt10(Metric):
    """nDCG at 10: gains of the first ten places, discounted by place, over those of the best order."""

    name: Literal["ndcg_at_10"] = "ndcg_at_10"
    kinds: ClassVar[tuple[Kind, ...]] = ("vectors",)
    prefer: ClassVar[str] = (
        "prefer ndcg_at_10 when answers are more or less good and the first places matter most; BEIR's main measure"
    )
    source: ClassVar[str] = "Järvelin & Kekäläinen 2002, https://doi.org/10.1145/582415.582418"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        return over_queries(answers, weight_RN, self.name, lambda query, place, gain: ndcg(query, place, gain, 10))

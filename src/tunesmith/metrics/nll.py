"""Negative log-likelihood: what a token of the reference costs on average, in nats; what training minimises.

sum of -ln p(token) / number of tokens, over all tokens of all rows. The logarithm of perplexity.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._texts import NLL, TOKENS, per


class Nll(Metric):
    """Negative log-likelihood: what a token of the reference costs on average, in nats."""

    name: Literal["nll"] = "nll"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    points: ClassVar[float] = 0
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    prefer: ClassVar[str] = "prefer nll to perplexity for differences: it adds up, and its intervals are symmetric"
    source: ClassVar[str] = "Shannon 1948, A mathematical theory of communication"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return per(answers, weight_RN, NLL, TOKENS, self.name)
